// Package arch keeps the shape of the code base: it holds no code, only a test.
//
// The test takes what "go list" says about every package of the module and fails when a package has no doc comment or
// more than one, when an import crosses a border that rules_test.go draws (each with its reason), when a rule names a
// path that is gone, when the top level grows a folder that the design does not name, when a package has a name that
// says nothing, and when code outside cmd ends the process. It also follows the way to Twilio through the syntax: one line of the
// program sends, it sends only what the claim and the second look at consent let pass, and one function makes the one exemption.
//
// The rules themselves are tested against made-up packages that break them.
package arch
