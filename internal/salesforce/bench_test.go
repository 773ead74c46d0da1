package salesforce

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
)

// benchmarkBody is an outbound message of 100 notifications, about 60 KB, as Salesforce lays it out.
func benchmarkBody(tb testing.TB, fields int) []byte {
	tb.Helper()
	env := &notification.Envelope{Org: "00D5g000004QxYz", Action: makeID("04k", 1), Object: "Opportunity"}
	values := []string{"Closed Won", "2026-11-21T10:00:00.000Z", "120000.0", "Ada Lovelace", "+14155550100", "Q&A"}
	for i := range 100 {
		n := notification.Notification{ID: makeID("04l", i), RecordID: makeID("006", i)}
		n.Fields = append(n.Fields, notification.Field{Name: "Id", Value: string(n.RecordID)})
		for j := range fields {
			n.Fields = append(n.Fields, notification.Field{Name: fmt.Sprintf("Field_%02d__c", j), Value: values[j%len(values)]})
		}
		env.Notifications = append(env.Notifications, n)
	}
	var buf bytes.Buffer
	require.NoError(tb, Encode(&buf, EnvelopeSpec{Envelope: env}))
	return buf.Bytes()
}

// A field must cost no allocation: many more fields take about as many allocations. Not parallel: AllocsPerRun counts
// those of the whole process.
func TestDecodeAllocatesNothingPerField(t *testing.T) {
	count := func(fields int) float64 {
		body := benchmarkBody(t, fields)
		return testing.AllocsPerRun(20, func() {
			if _, err := Decode(body, DefaultLimits()); err != nil {
				t.Error(err)
			}
		})
	}
	few, many := count(8), count(108)    // 100 names and 10,000 fields more
	require.Less(t, few, 60.0)           // 900 fields
	require.Less(t, (many-few)/100, 4.0) // per name
}

func BenchmarkDecode(b *testing.B) {
	body := benchmarkBody(b, 8)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body, DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeSingle(b *testing.B) {
	body := []byte(testGood)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body, DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeHostile decodes a document made to be slow: all bindings in scope, and looked up from the wrong end.
func BenchmarkDecodeHostile(b *testing.B) {
	deep := "<a" + numbered(60, ` xmlns:p%d="u"`) + ">"
	body := []byte(instead("<s:Body>", "<s:Header>"+deep+strings.Repeat("<s:b/>", 10000)+"</a></s:Header><s:Body>"))
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := Decode(body, DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}

type xmlField struct {
	XMLName xml.Name
	Nil     string `xml:"http://www.w3.org/2001/XMLSchema-instance nil,attr"`
	Value   string `xml:",chardata"`
}

type xmlEnvelope struct {
	Body struct {
		Notifications struct {
			OrganizationID string `xml:"OrganizationId"`
			ActionID       string `xml:"ActionId"`
			Notification   []struct {
				ID      string `xml:"Id"`
				SObject struct {
					Type   string     `xml:"http://www.w3.org/2001/XMLSchema-instance type,attr"`
					Fields []xmlField `xml:",any"`
				} `xml:"sObject"`
			} `xml:"Notification"`
		} `xml:"notifications"`
	} `xml:"Body"`
}

func BenchmarkEncodingXMLUnmarshal(b *testing.B) {
	body := benchmarkBody(b, 8)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var env xmlEnvelope
		if err := xml.Unmarshal(body, &env); err != nil {
			b.Fatal(err)
		}
		if len(env.Body.Notifications.Notification) != 100 || len(env.Body.Notifications.Notification[0].SObject.Fields) != 9 {
			b.Fatal("encoding/xml read something else")
		}
	}
}

func BenchmarkEncodingXMLToken(b *testing.B) {
	body := benchmarkBody(b, 8)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		dec := xml.NewDecoder(bytes.NewReader(body))
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}
