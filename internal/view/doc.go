// Package view is how messages and traces look to the outside: the JSON that the command line and the API share. The names
// are a contract with programs that read them: they are added to, never changed.
package view
