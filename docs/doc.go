// Package docs holds the documentation, and the test that keeps it true.
//
// There is no code here. The test reads every Markdown file of the repository and checks that links lead somewhere, that
// each setting stands in configuration.md with its default, that every variable, metric and command named anywhere exists,
// that every rule key and template function is documented, and that the examples of rules and templates load with the real
// loaders.
package docs
