package salesforce

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/notification"
)

func TestAckBody(t *testing.T) {
	t.Parallel()
	want := `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>` +
		`<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>` +
		`</soapenv:Body></soapenv:Envelope>`
	require.Equal(t, want, string(AckBody()))
	var buf bytes.Buffer
	require.NoError(t, WriteAck(&buf))
	require.Equal(t, want, buf.String())
	acked, fault, err := ParseResponse(AckBody())
	require.NoError(t, err)
	require.True(t, acked)
	require.Empty(t, fault)

	AckBody()[0] = 'x'
	require.Equal(t, want, string(AckBody()))
}

func TestWriteAckPassesTheErrorOn(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, WriteAck(brokenWriter{}), errBroken)
	err := Encode(brokenWriter{}, EnvelopeSpec{Envelope: &notification.Envelope{Org: "00D5g000004QxYz"}})
	require.ErrorIs(t, err, errBroken)
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestFaultBody(t *testing.T) {
	t.Parallel()
	require.Equal(t, `<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>`+
		`<soapenv:Fault><faultcode>soapenv:Server</faultcode><faultstring>try again</faultstring></soapenv:Fault>`+
		`</soapenv:Body></soapenv:Envelope>`, string(FaultBody(FaultServer, "try again")))
	for text, want := range map[string]string{
		"a < b & \"c\" > ]]>\r\n": "a < b & \"c\" > ]]>\r\n",
		"bad \x00 and \xff":       "bad \uFFFD and \uFFFD",
		"":                        "fault without a text",
	} {
		acked, fault, err := ParseResponse(FaultBody(FaultClient, text))
		require.NoError(t, err)
		require.False(t, acked)
		require.Equal(t, want, fault)
	}
}

func TestParseResponse(t *testing.T) {
	t.Parallel()
	wrap := func(inner string) string {
		return `<E:Envelope xmlns:E="` + uriSOAP11 + `"><E:Header/><E:Body>` + inner + `</E:Body></E:Envelope>`
	}
	response := func(inner string) string {
		return wrap(`<out:notificationsResponse xmlns:out="` + uriOutbound + `">` + inner + `</out:notificationsResponse>`)
	}
	for _, test := range []struct {
		name, body string
		ack        bool
		problem    string
	}{
		{"other prefixes", response("<out:Ack> 1\n</out:Ack>"), true, ""},
		{"not acknowledged", response("<out:Ack>false</out:Ack>"), false, ""},
		{"Ack is no boolean", response("<out:Ack>yes</out:Ack>"), false, "Ack is neither true nor false"},
		{"no Ack", response(""), false, "neither an acknowledgement nor a fault"},
		{"two Acks", response("<out:Ack>true</out:Ack><out:Ack>true</out:Ack>"), false, "not exactly one Ack"},
		{"Ack elsewhere", response("<Ack>true</Ack>"), false, "not exactly one Ack"},
		{"the widely copied mistake", wrap(`<notifications xmlns="` + uriOutbound + `"><Ack>true</Ack></notifications>`), false, "neither"},
		{"two answers", wrap(`<E:Fault/><E:Fault/>`), false, "a second answer"},
		{"no Body", `<E:Envelope xmlns:E="` + uriSOAP11 + `"/>`, false, "neither"},
		{"JSON", `{"Ack":true}`, false, "text outside"},
		{"empty", "", false, "no element"},
		{"not UTF-8", "\xff", false, "UTF-8"},
		{"trailing rubbish", string(AckBody()) + "x", false, "text outside"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ack, fault, err := ParseResponse([]byte(test.body))
			require.Equal(t, test.ack, ack)
			require.Empty(t, fault)
			if test.problem == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.problem)
		})
	}
}

// Encode writes what Salesforce writes, to the byte.
func TestEncodeUsual(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"usual", "deleted_empty", "non_ascii", "hundred"} {
		want := readShape(t, name)
		env, err := Decode([]byte(want), DefaultLimits())
		require.NoError(t, err)
		var buf bytes.Buffer
		require.NoError(t, Encode(&buf, EnvelopeSpec{Envelope: env}))
		require.Equal(t, want, buf.String())
	}
}

func TestEncodeWritesTheRecordIDAndLeavesOutNull(t *testing.T) {
	t.Parallel()
	env := &notification.Envelope{Org: "00D5g000004QxYz", Object: "Lead", Notifications: []notification.Notification{{
		ID: makeID("04l", 1), RecordID: makeID("00Q", 1), Fields: []notification.Field{{Name: "Email", Null: true}},
	}}}
	var buf bytes.Buffer
	require.NoError(t, Encode(&buf, EnvelopeSpec{Envelope: env, Host: "h.example", APIVersion: "50.0", SessionID: "a!b"}))
	require.Contains(t, buf.String(), "<SessionId>a!b</SessionId>")
	require.Contains(t, buf.String(), "https://h.example/services/Soap/u/50.0/00D5g000004QxYz<")
	got, err := Decode(buf.Bytes(), DefaultLimits())
	require.NoError(t, err)
	require.Equal(t, []notification.Field{{Name: "Id", Value: string(makeID("00Q", 1))}}, got.Notifications[0].Fields)
	require.Equal(t, makeID("00Q", 1), got.Notifications[0].RecordID)
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	with := func(field notification.Field) *notification.Envelope {
		return &notification.Envelope{Org: "00D5g000004QxYz", Notifications: []notification.Notification{
			{ID: makeID("04l", 1), Fields: []notification.Field{field}},
		}}
	}
	for _, env := range []*notification.Envelope{
		{Org: "x"},
		{Org: "00D5g000004QxYz", Object: "a b"},
		with(notification.Field{Name: "a b"}),
		with(notification.Field{Name: "fieldsToNull"}),
		with(notification.Field{Name: "A", Value: "\x01"}),
		with(notification.Field{Name: "A", Value: "\xff"}),
	} {
		require.ErrorIs(t, Encode(&bytes.Buffer{}, EnvelopeSpec{Envelope: env}), ErrNotEncodable)
	}
}
