package arch_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// use is a place in production code that names something: "file: function".
type use string

// production are the packages that a beckon process may run: no simulator, no load generator, no test helper.
func production(t *testing.T) []listed {
	t.Helper()
	return slices.DeleteFunc(slices.Clone(packages(t)), func(p listed) bool {
		for _, other := range []string{"internal/twiliosim", "internal/salesforcesim", "internal/bench", "internal/torture", "internal/pgtest"} {
			if within(p.path(), other) {
				return true
			}
		}
		return false
	})
}

// uses lists where is says yes to a node, in the packages' own files without tests.
func uses(t *testing.T, all []listed, is func(p listed, n ast.Node) bool) []use {
	t.Helper()
	var found []use
	for _, p := range all {
		for _, file := range p.files() {
			if !strings.HasSuffix(file, "_test.go") {
				found = append(found, usesIn(p, file, parse(t, filepath.Join(p.Dir, file), parser.SkipObjectResolution), is)...)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func usesIn(p listed, name string, file *ast.File, is func(p listed, n ast.Node) bool) []use {
	var found []use
	for _, decl := range file.Decls {
		where := "-"
		if f, ok := decl.(*ast.FuncDecl); ok {
			where = f.Name.Name
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			if n != nil && is(p, n) {
				found = append(found, use(fmt.Sprintf("%s/%s: %s", p.path(), name, where)))
			}
			return true
		})
	}
	return found
}

// selects tells whether a node picks the name out of anything: a call, or the function as a value.
func selects(n ast.Node, name string) bool {
	s, ok := n.(*ast.SelectorExpr)
	return ok && s.Sel.Name == name
}

func literal(n ast.Node) string {
	lit, ok := n.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}

const adapter = "internal/twilio"

// sends tells whether a node of a package that knows the adapter picks Send out of something.
func sends(p listed, n ast.Node) bool {
	return p.path() != adapter && slices.Contains(p.Imports, module+"/"+adapter) && selects(n, "Send")
}

// One line of the program sends. It is reached from one place only, which has asked the gates in the claim and consent once more.
func TestOneLineCallsTwilio(t *testing.T) {
	t.Parallel()
	all := production(t)
	require.Equal(t, []use{"dispatcher/send.go: send"}, uses(t, all, sends), "a message goes out by (*lane).send alone")
	inDispatcher := func(name string) []use {
		return uses(t, all, func(p listed, n ast.Node) bool { return p.path() == "dispatcher" && selects(n, name) })
	}
	require.Equal(t, []use{"dispatcher/claim.go: start"}, inDispatcher("send"), "(*lane).send is for those that a claim and the second look let pass")
	require.Equal(t, []use{"dispatcher/claim.go: claim"}, inDispatcher("Claim"))
	require.Equal(t, []use{"dispatcher/claim.go: claim"}, uses(t, all, func(p listed, n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		return ok && p.path() == "dispatcher" && selects(kv.Value, "judge")
	}), "the judge is for the claim")
	require.Equal(t, []use{"dispatcher/claim.go: claim"}, uses(t, all, func(p listed, n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		return ok && p.path() != "internal/store" && selects(lit.Type, "ClaimRequest")
	}), "nobody else claims")
	require.Equal(t, []use{"dispatcher/claim.go: recheck", "dispatcher/gates.go: gates"}, uses(t, all, func(p listed, n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		return ok && p.path() == "dispatcher" && called(call) == "consentGate"
	}), "consent is asked twice: in the claim, and right before the call")
}

// Of the claimed messages only those are sent that the second look let pass.
func TestWhatIsSentHasPassedTheSecondLook(t *testing.T) {
	t.Parallel()
	file := parse(t, filepath.Join(root(), "dispatcher", "claim.go"), 0)
	require.NoError(t, onlyRechecked(file))
	for name, body := range map[string]string{
		"another list":       `allowed := l.recheck(ctx, result.Claimed); _ = allowed; for _, c := range result.Claimed { go func() { l.send(ctx, c) }() }`,
		"no list":            `allowed := l.recheck(ctx, result.Claimed); _ = allowed; l.send(ctx, result.Claimed[0])`,
		"no second look":     `allowed := result.Claimed; for _, c := range allowed { go func() { l.send(ctx, c) }() }`,
		"the list is longer": `allowed := l.recheck(ctx, result.Claimed); allowed = append(allowed, more...); for _, c := range allowed { l.send(ctx, c) }`,
	} {
		wrong, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc (l *lane) start() {"+body+"}", 0)
		require.NoError(t, err)
		require.Error(t, onlyRechecked(wrong), name)
	}
}

// onlyRechecked tells whether every call of send stands in a loop over what recheck returned, and nothing else.
func onlyRechecked(file *ast.File) error {
	sent, good := 0, 0
	for _, decl := range file.Decls {
		s, g := rechecked(decl)
		sent, good = sent+s, good+g
	}
	if sent != 1 || good != sent {
		return fmt.Errorf("%d calls of send, %d of them of what recheck let pass: want one of each", sent, good)
	}
	return nil
}

// rechecked counts the calls of send in a function, and those of them that stand in such a loop.
func rechecked(decl ast.Decl) (sent, good int) {
	assigned := map[string][]string{}
	var loops []*ast.RangeStmt
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if name, ok := left.(*ast.Ident); ok {
					assigned[name.Name] = append(assigned[name.Name], types.ExprString(n.Rhs[min(i, len(n.Rhs)-1)]))
				}
			}
		case *ast.RangeStmt:
			loops = append(loops, n)
		case *ast.SelectorExpr:
			if n.Sel.Name == "send" {
				sent++
			}
		}
		return true
	})
	for _, loop := range loops {
		over := types.ExprString(loop.X)
		passed := slices.Equal(assigned[over], []string{"l.recheck(ctx, result.Claimed)"})
		ast.Inspect(loop.Body, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && called(call) == "send" && passed && len(call.Args) > 1 &&
				types.ExprString(call.Args[1]) == types.ExprString(loop.Value) {
				good++
			}
			return true
		})
	}
	return sent, good
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// Nobody goes to Twilio by another way: a client of their own, or its URLs.
func TestNoOtherWayToTwilio(t *testing.T) {
	t.Parallel()
	all := production(t)
	require.Equal(t, []use{
		"internal/app/media.go: fetchMedia", "internal/app/roles.go: newLane", // who fetches pictures, and who hands the client to a lane
		"internal/cli/doctorservers.go: account", "internal/cli/doctortwilio.go: compareAccount", // they only read
	}, uses(t, all, func(_ listed, n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		return ok && types.ExprString(s) == "twilio.New"
	}))
	urls := uses(t, all, func(_ listed, n ast.Node) bool {
		text := literal(n)
		return strings.Contains(text, "api.twilio.com") || strings.Contains(text, "2010-04-01") || strings.Contains(text, "Messages.json")
	})
	urls = slices.DeleteFunc(urls, func(u use) bool { return strings.HasPrefix(string(u), adapter+"/") })
	require.Equal(t, []use{"internal/config/settings.go: twilioSettings"}, urls, "the default of BECKON_TWILIO_API_URL")
	require.Equal(t, []use{adapter + "/send.go: Send"}, uses(t, all, func(_ listed, n ast.Node) bool {
		return selects(n, "CreateMessage") || selects(n, "CreateMessageWithContext")
	}))
}

// One gate makes the one exemption, and one function its messages.
func TestOneExemption(t *testing.T) {
	t.Parallel()
	require.Equal(t, []use{"dispatcher/gates.go: consentGate", "internal/demo/replies.go: stoppedInSpanish", "internal/store/confirm.go: confirm"}, uses(t, production(t), func(_ listed, n ast.Node) bool {
		return selects(n, "OriginCompliance")
	}))
	require.Equal(t, []use{"internal/store/decide_write.go: queueMessages", "internal/store/speak.go: queueSpoken"},
		uses(t, production(t), func(_ listed, n ast.Node) bool { return strings.Contains(literal(n), "insert into message") }))
	require.Equal(t, []use{"internal/store/claim.go: queue", "internal/store/gap.go: queue"},
		uses(t, production(t), func(_ listed, n ast.Node) bool { return strings.Contains(literal(n), "insert into attempt ") }),
		"an attempt comes of a claim; in a gap it is one that is looked up and never sent")
}

// Every origin is in the list that the tests over all origins draw from.
func TestEveryOriginIsListed(t *testing.T) {
	t.Parallel()
	file := parse(t, filepath.Join(root(), "internal", "message", "message.go"), 0)
	var constants, list []string
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			if n.Type != nil && types.ExprString(n.Type) == "Origin" {
				constants = append(constants, n.Names[0].Name)
			}
		case *ast.FuncDecl:
			if n.Name.Name == "Origins" {
				ast.Inspect(n.Body, func(n ast.Node) bool {
					if name, ok := n.(*ast.Ident); ok && name.Name != "Origin" {
						list = append(list, name.Name)
					}
					return true
				})
			}
		}
		return true
	})
	require.NotEmpty(t, constants)
	require.ElementsMatch(t, constants, list)
}

// The tests above can fail.
func TestAStrayCallIsFound(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc f() { go client.Send(ctx, r) }\nfunc g() { later := c.Send; _ = later }", 0)
	require.NoError(t, err)
	p := listed{ImportPath: module + "/internal/cli", Imports: []string{module + "/" + adapter}}
	require.Equal(t, []use{"internal/cli/x.go: f", "internal/cli/x.go: g"}, usesIn(p, "x.go", file, sends))
}
