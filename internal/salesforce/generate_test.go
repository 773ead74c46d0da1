package salesforce

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
)

func makeID(prefix string, number int) notification.ID {
	id, err := notification.ParseID(fmt.Sprintf("%s5g%010d", prefix, number))
	if err != nil {
		panic(err)
	}
	return id
}

// generator writes random outbound messages in random spellings, together with the envelope that they say.
type generator struct {
	*rand.Rand
	out  bytes.Buffer
	soap string
	data string
	xsi  string
	sf   string
}

func (g *generator) pick(options ...string) string { return options[g.IntN(len(options))] }

func (g *generator) space() string {
	return g.pick("", "", " ", "\n  ", "\r\n\t", "<!-- - c -->", "stray", "&#32;")
}

// spell gives a text in one of its many spellings.
func (g *generator) spell(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '&' || r == '<' || r == '\r' || g.IntN(12) == 0:
			fmt.Fprintf(&b, g.pick("&#%d;", "&#x%x;", "&#x%X;", "&#0%d;"), r)
		case r == '\n':
			b.WriteString(g.pick("\n", "\r\n", "\r"))
		case r == ']':
			b.WriteString(g.pick("&#93;", "<![CDATA[]]]>"))
		case g.IntN(20) == 0:
			b.WriteString("<![CDATA[" + string(r) + "]]>" + g.pick("", "<!---->"))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (g *generator) value() string {
	letters := []rune("abcXYZ 0123456789<>&\"'\n\r\t]äß€山😀.;@-")
	text := make([]rune, g.IntN(30))
	for i := range text {
		text[i] = letters[g.IntN(len(letters))]
	}
	// A line feed behind one that is spelt as a carriage return would be swallowed by it.
	return strings.ReplaceAll(string(text), "\n", "\n.")
}

func (g *generator) element(name, text string) {
	g.out.WriteString(g.space() + "<" + name + g.pick("", " ", "\n") + ">" + text + "</" + name + g.pick("", " ") + ">" + g.space())
}

func qualify(prefix, local string) string {
	if prefix == "" {
		return local
	}
	return prefix + ":" + local
}

func xmlns(prefix, uri string) string {
	if prefix == "" {
		return ` xmlns="` + uri + `"`
	}
	return ` xmlns:` + prefix + `='` + uri + `' `
}

func (g *generator) id(id notification.ID) string {
	return g.pick("", " ", "\n") + g.spell(g.pick(string(id), id.Short())) + g.pick("", "\t")
}

// envelope writes one message and gives what it means.
func (g *generator) envelope() ([]byte, *notification.Envelope) {
	g.out.Reset()
	g.soap, g.xsi = g.pick("soapenv", "S", "SOAP-ENV"), g.pick("xsi", "i")
	g.data, g.sf = g.pick("", "", "out", "ns1"), g.pick("sf", "sf", "f.1")
	env := &notification.Envelope{Org: "00D5g000004QxYz", Object: g.pick("Contact", "npsp__Gift__c", "Case")}
	g.out.WriteString(g.pick("", byteOrderMark) + g.pick("", "\n", "\r\n") +
		g.pick("", `<?xml version="1.0"?>`, `<?xml version='1.0' encoding="utf-8" standalone="yes" ?>`))
	g.out.WriteString("<" + g.soap + ":Envelope" + xmlns(g.soap, uriSOAP11) + xmlns(g.xsi, uriInstance) + ">" + g.space())
	if g.IntN(3) == 0 {
		g.out.WriteString("<" + g.soap + ":Header><a><b c='&gt;'/></a></" + g.soap + ":Header>")
	}
	g.out.WriteString("<" + g.soap + ":Body>" + g.space() + "<" + qualify(g.data, "notifications") + xmlns(g.data, uriOutbound) + ">")
	g.element(qualify(g.data, "OrganizationId"), string(env.Org))
	if g.IntN(2) == 0 {
		env.Action = makeID("04k", g.IntN(1000))
		g.element(qualify(g.data, "ActionId"), g.id(env.Action))
	}
	for range 1 + g.IntN(6) {
		env.Notifications = append(env.Notifications, g.notification(env.Object))
	}
	g.out.WriteString("</" + qualify(g.data, "notifications") + "></" + g.soap + ":Body>" + g.space() + "</" + g.soap + ":Envelope>" + g.pick("", "\r\n"))
	return bytes.Clone(g.out.Bytes()), env
}

func (g *generator) notification(object string) notification.Notification {
	n := notification.Notification{ID: makeID("04l", g.IntN(100000))}
	g.out.WriteString("<" + qualify(g.data, "Notification") + ">")
	g.element(qualify(g.data, "Id"), g.id(n.ID))
	attrs := []string{" " + g.xsi + `:type="` + g.sf + ":" + object + `"`, xmlns(g.sf, uriSObject)}
	if g.IntN(2) == 0 {
		attrs[0], attrs[1] = attrs[1], attrs[0]
	}
	name := qualify(g.data, "sObject")
	g.out.WriteString("<" + name + attrs[0] + attrs[1])
	if g.IntN(8) == 0 {
		g.out.WriteString("/></" + qualify(g.data, "Notification") + ">")
		return n
	}
	g.out.WriteString(">")
	if g.IntN(5) > 0 {
		n.RecordID = makeID("003", g.IntN(100000))
		n.Fields = append(n.Fields, notification.Field{Name: "Id", Value: string(n.RecordID)})
		g.element(g.sf+":Id", g.spell(string(n.RecordID)))
	}
	for i := range g.IntN(8) {
		n.Fields = append(n.Fields, g.field(fmt.Sprintf("F%d_%d__c", i, g.IntN(3))))
	}
	g.out.WriteString("</" + name + "></" + qualify(g.data, "Notification") + ">")
	return n
}

func (g *generator) field(name string) notification.Field {
	field := notification.Field{Name: name}
	switch g.IntN(8) {
	case 6, 7:
		field.Value = g.pick("plain", "2026-11-21", "", "]]")
		g.out.WriteString("<" + g.sf + ":" + name + ">" + field.Value + "</" + g.sf + ":" + name + ">")
	case 0:
		field.Null = true
		g.out.WriteString("<" + g.sf + ":" + name + " " + g.xsi + `:nil="` + g.pick("true", "1") + `"/>`)
	case 1:
		g.out.WriteString("<" + g.sf + ":" + name + "/>")
	default:
		field.Value = g.value()
		g.element(g.sf+":"+name, g.spell(field.Value))
	}
	return field
}

// Every generated message means to Decode, and to the reference decoder on encoding/xml, what the generator meant.
func TestDecodeAgreesWithEncodingXML(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1000) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
		body, want := g.envelope()
		got, err := Decode(body, DefaultLimits())
		require.NoError(t, err, "seed %d: %s", seed, body)
		require.Equal(t, want, got, "seed %d: %s", seed, body)
		reference, err := referenceDecode(body)
		require.NoError(t, err, "seed %d: %s", seed, body)
		require.Equal(t, reference, got, "seed %d: %s", seed, body)
	}
}

// What comes out of a damaged message is a refusal, or what encoding/xml reads as well.
func TestDecodeDamagedMessages(t *testing.T) {
	t.Parallel()
	refused := 0
	for seed := range uint64(1000) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 2))}
		body, _ := g.envelope()
		at := g.IntN(len(body))
		switch g.IntN(4) {
		case 0:
			body = body[:at]
		case 1:
			body[at] ^= 1 << g.IntN(8)
		case 2:
			body = append(body[:at:at], body[at+1:]...)
		case 3:
			end := min(at+g.IntN(60), len(body))
			body = append(body[:end:end], body[at:]...)
		}
		if !agrees(t, body) {
			refused++
		}
	}
	require.Greater(t, refused, 300)
}
