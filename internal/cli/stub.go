package cli

import "github.com/spf13/cobra"

func (r *root) demo() *cobra.Command        { return &cobra.Command{Use: "demo"} }
func (r *root) doctor() *cobra.Command      { return &cobra.Command{Use: "doctor"} }
func (r *root) templates() *cobra.Command   { return &cobra.Command{Use: "templates"} }
func (r *root) consent() *cobra.Command     { return &cobra.Command{Use: "consent"} }
func (r *root) simulate() *cobra.Command    { return &cobra.Command{Use: "simulate"} }
