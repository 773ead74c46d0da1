// Command plot draws the samples of a soak (soak.csv of internal/bench) as a PNG: resident memory over time.
//
//	go run . SOAK.CSV OUT.PNG
//
// It is a module of its own, so that the drawing library is no dependency of the product.
package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

const (
	width, height    = 20 * vg.Centimeter, 9 * vg.Centimeter
	secondsPerMinute = 60
)

func main() {
	if err := draw(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func draw(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("give the samples and the picture: plot soak.csv out.png")
	}
	points, err := read(args[0])
	if err != nil {
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	p := plot.New()
	p.Title.Text = "Resident memory of beckon serve under a steady load"
	p.X.Label.Text, p.Y.Label.Text = "minutes", "MB"
	p.Y.Min = 0
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	p.Add(plotter.NewGrid(), line)
	p.Y.Min, p.Y.Max = 0, 1.25*p.Y.Max
	return p.Save(width, height, args[1])
}

func read(file string) (plotter.XYs, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	var points plotter.XYs
	for i, row := range rows[min(1, len(rows)):] {
		seconds, err := strconv.ParseFloat(row[0], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
		megabytes, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
		points = append(points, plotter.XY{X: seconds / secondsPerMinute, Y: megabytes})
	}
	return points, nil
}
