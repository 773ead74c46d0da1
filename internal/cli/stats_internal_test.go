package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/prices"
	"github.com/beckonhq/beckon/internal/store"
)

func TestWriteFigures(t *testing.T) {
	t.Parallel()
	table, err := prices.Load("p", []byte("currency: USD\nprices: [{channel: sms, per: segment, price: 0.0075}]"))
	require.NoError(t, err)
	found := []store.Figure{{
		By: []string{"a-rule", ""}, Sent: 5, Delivered: 3, Read: 1, Failed: 1, Open: 1, Refused: 1, Twice: 1, Replied: 1, OptedOut: 1, Segments: 7, Codes: map[int]int64{63024: 1, 30003: 1},
		Charged: []store.Charge{
			{Channel: message.SMS, Country: "US", Category: "sms", Messages: 3, Segments: 7},
			{Channel: message.WhatsApp, Country: "DE", Category: "utility", Messages: 1},
		},
	}}
	by := []string{"rule", "country"}
	for _, c := range []struct {
		flags statsFlags
		table *prices.Table
		want  string
	}{
		{statsFlags{by: by}, nil, "RULE    COUNTRY  SENT  DELIVERED  READ  FAILED  OPEN  REFUSED  FAILED_BY_CODE   REPLIED  OPTED_OUT  SEGMENTS  TWICE\n" +
			"a-rule  -        5     3          1     1       1     1        30003:1 63024:1  1        1          7         1\n"},
		{statsFlags{by: by, asCSV: true}, table, "rule,country,sent,delivered,read,failed,open,refused,failed_by_code,replied,opted_out,segments,twice,estimated_cost,currency,unpriced\n" +
			"a-rule,,5,3,1,1,1,1,30003:1 63024:1,1,1,7,1,0.0525,USD,1\n"},
		{statsFlags{by: by, asJSON: true}, table, `{"by":{"country":"","rule":"a-rule"},"sent":5,"delivered":3,"read":1,"failed":1,"open":1,"refused":1,"failed_by_code":{"30003":1,"63024":1},` +
			`"replied":1,"opted_out":1,"segments":7,"delivered_twice":1,"estimated_cost":"0.0525","currency":"USD","unpriced":1}` + "\n"},
	} {
		var out strings.Builder
		r := &root{streams: Streams{Out: &out}}
		require.NoError(t, r.writeFigures(newFigures(by, found, c.table), c.flags))
		require.Equal(t, c.want, out.String())
	}
}
