package twiliosim_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/twilio"
	"github.com/beckonhq/beckon/internal/twiliosim"
	"github.com/beckonhq/beckon/internal/twiliosim/twiliosimtest"
)

// What was accepted before the process died is there after it, also what was never answered; half a line is not.
func TestJournalOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	cfg := twiliosim.Config{Journal: path}
	first := twiliosimtest.NewServer(t, cfg)
	first.AddFault(twiliosim.Fault{Kind: twiliosim.LoseAnswer})
	request := twilio.Request{To: "+12125550100", From: "+12125550101", Channel: message.SMS, Body: "one"}
	_, err := first.Client(t).Send(t.Context(), request)
	require.Error(t, err)
	require.NoError(t, first.WaitFor(t.Context(), func(all []twiliosim.Message) bool {
		return len(all) == 1 && all[0].Status == "delivered"
	}))
	_, err = first.Inbound(t.Context(), twiliosim.InboundMessage{From: "+12125550100", To: "+12125550101", Body: "STOP"})
	require.NoError(t, err)
	first.Close()

	torn, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = torn.WriteString(`{"message":{"sid":"SMhalf`)
	require.NoError(t, err)
	require.NoError(t, torn.Close())

	second := twiliosimtest.NewServer(t, cfg)
	all := second.Messages()
	require.Len(t, all, 2)
	require.Equal(t, []string{"one", "STOP"}, []string{all[0].Body, all[1].Body})
	require.Equal(t, "delivered", all[0].Status)
	require.WithinDuration(t, time.Now(), all[0].Created, time.Minute)
	_, err = second.Client(t).Send(t.Context(), request)
	failure, ok := twilio.AsError(err)
	require.True(t, ok)
	require.Equal(t, 21610, failure.Code, "the opt-out is remembered")

	request.To = "+12125550102"
	sent, err := second.Client(t).Send(t.Context(), request)
	require.NoError(t, err)
	second.Close()
	all, err = twiliosim.ReadJournal(path)
	require.NoError(t, err)
	require.Len(t, all, 3)
	require.Equal(t, sent.SID, all[2].SID)
}

// A message whose callback had not been posted yet gets it from the next process.
func TestJournalGoesOnWithCallbacks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	long := twiliosim.Delay{Min: time.Hour, Max: time.Hour}
	first := twiliosimtest.NewServer(t, twiliosim.Config{Journal: path, Delays: twiliosim.Delays{Sent: long}})
	_, err := first.Client(t).Send(t.Context(), twilio.Request{
		To: "+12125550100", From: "+12125550101", Channel: message.SMS, Body: "one",
	})
	require.NoError(t, err)
	first.Close()
	second := twiliosimtest.NewServer(t, twiliosim.Config{Journal: path})
	require.NoError(t, second.WaitFor(t.Context(), func(all []twiliosim.Message) bool {
		return len(all) == 1 && all[0].Status == "delivered"
	}))
}
