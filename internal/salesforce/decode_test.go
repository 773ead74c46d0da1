package salesforce

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
)

var update = flag.Bool("update", false, "write the golden files anew")

func shapeFiles(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("testdata/shapes/*.xml")
	require.NoError(tb, err)
	require.NotEmpty(tb, files)
	return files
}

func readShape(tb testing.TB, name string) string {
	tb.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "shapes", name+".xml"))
	require.NoError(tb, err)
	return string(body)
}

func TestDecodeShapes(t *testing.T) {
	t.Parallel()
	for _, file := range shapeFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".xml"), func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(file)
			require.NoError(t, err)
			env, err := Decode(body, DefaultLimits())
			require.NoError(t, err)
			require.True(t, env.Received.IsZero())
			reference, err := referenceDecode(body)
			require.NoError(t, err)
			require.Equal(t, reference, env)

			got, err := json.MarshalIndent(env, "", " ")
			require.NoError(t, err)
			golden := strings.TrimSuffix(file, ".xml") + ".json"
			if *update {
				require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.JSONEq(t, string(want), string(got))
		})
	}
}

// The result must not change when the caller uses its buffer again, and must not keep the session id.
func TestDecodeSharesNothingWithTheBody(t *testing.T) {
	t.Parallel()
	body := []byte(readShape(t, "session_id"))
	want, err := Decode(body, DefaultLimits())
	require.NoError(t, err)
	again := bytes.Clone(body)
	got, err := Decode(again, DefaultLimits())
	require.NoError(t, err)
	clear(again)
	require.Equal(t, want, got)

	d := newDecoder(body, DefaultLimits())
	require.NoError(t, d.document())
	require.NotContains(t, d.values.block.String(), "AQ4token")
}

func TestDecodeZeroLimitsAreTheDefaults(t *testing.T) {
	t.Parallel()
	env, err := Decode([]byte(readShape(t, "hundred")), Limits{})
	require.NoError(t, err)
	require.Len(t, env.Notifications, notification.MaxPerEnvelope)
}

func TestDecodeShortIDsGetTheirChecksum(t *testing.T) {
	t.Parallel()
	short, err := Decode([]byte(readShape(t, "short_ids")), DefaultLimits())
	require.NoError(t, err)
	long, err := Decode([]byte(readShape(t, "usual")), DefaultLimits())
	require.NoError(t, err)
	require.Equal(t, long.Action, short.Action)
	require.Equal(t, long.Org, short.Org)
	require.Equal(t, long.Notifications[0].ID, short.Notifications[0].ID)
	require.Equal(t, long.Notifications[0].RecordID, short.Notifications[0].RecordID)
	require.Len(t, string(short.Notifications[0].ID), notification.LongIDLength)
	require.Len(t, string(short.Org), notification.ShortIDLength)
}

// Fields of one notification must not run into those of the next when a caller appends to them.
func TestDecodeFieldSlicesAreSeparate(t *testing.T) {
	t.Parallel()
	env, err := Decode([]byte(readShape(t, "hundred")), DefaultLimits())
	require.NoError(t, err)
	second := env.Notifications[1].Fields[0]
	_ = append(env.Notifications[0].Fields, notification.Field{Name: "X"})
	require.Equal(t, second, env.Notifications[1].Fields[0])
}

// Values longer than a block, and many of them, come out whole.
func TestDecodeLargeValues(t *testing.T) {
	t.Parallel()
	env := &notification.Envelope{Org: "00D5g000004QxYz", Object: "Case"}
	for i := range 20 {
		env.Notifications = append(env.Notifications, notification.Notification{
			ID: makeID("04l", i),
			Fields: []notification.Field{
				{Name: "A", Value: strings.Repeat("x", i*4000)},
				{Name: "B", Value: strings.Repeat("<\r\n", i*300)},
			},
		})
	}
	var buf bytes.Buffer
	require.NoError(t, Encode(&buf, EnvelopeSpec{Envelope: env}))
	got, err := Decode(buf.Bytes(), DefaultLimits())
	require.NoError(t, err)
	require.Equal(t, env, got)
}

// Attributes: references in several of them, and one local name in several namespaces.
func TestDecodeAttributes(t *testing.T) {
	t.Parallel()
	for _, start := range []string{
		`<sObject xsi:type="&#115;f:Contact" xmlns:sf="urn:sobject.enterprise.soap.s&#102;orce.com"`,
		`<sObject type="x" o:type="y" xmlns:o="urn:x" xsi:type="sf:Contact" xmlns:sf="` + uriSObject + `" xml:lang="en"`,
	} {
		body := instead(`<sObject xsi:type="sf:Contact" xmlns:sf="`+uriSObject+`"`, start)
		body = strings.Replace(body, "<Notification>", strings.Repeat("&amp;", 200)+"<Notification>", 1) // a large buffer
		env, err := Decode([]byte(body), DefaultLimits())
		require.NoError(t, err)
		require.Equal(t, "Contact", env.Object)
		require.Len(t, env.Notifications[0].Fields, 2)
	}
}
