package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/beckonhq/beckon/internal/config"
	"github.com/beckonhq/beckon/internal/message"
	"github.com/beckonhq/beckon/internal/twiliosim"
)

const (
	whatsappPrefix = "whatsapp:"
	replyTimeout   = 30 * time.Second
)

// replyFlags are the flags of simulate twilio reply.
type replyFlags struct {
	addr, from, to, body, channel string
	asJSON                        bool
}

func (r *root) simulateReply() *cobra.Command {
	var flags replyFlags
	cmd := &cobra.Command{
		Use:   "reply",
		Short: "Let a person answer, through a running simulate twilio",
		Long: "Let a person answer. Without --to and --channel the answer goes to the sender of the newest message to that person,\n" +
			"else to the configured sender.",
		Example: "  beckon simulate twilio reply --from +14155550123 --body STOP",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), replyTimeout)
			defer cancel()
			return r.reply(ctx, flags)
		},
	}
	cmd.Flags().StringVar(&flags.addr, "addr", "", "where simulate twilio listens, host:port (default: as in BECKON_TWILIO_API_URL, else "+simulatorAddr+")")
	cmd.Flags().StringVar(&flags.from, "from", "", "the person's number")
	cmd.Flags().StringVar(&flags.to, "to", "", "our sender's number")
	cmd.Flags().StringVar(&flags.body, "body", "", "the words")
	cmd.Flags().StringVar(&flags.channel, "channel", "", "sms or whatsapp")
	jsonFlag(cmd, &flags.asJSON, "as one JSON object")
	return cmd
}

func (r *root) reply(ctx context.Context, flags replyFlags) error {
	cfg, err := r.load()
	if err != nil {
		return err
	}
	flags.addr = cmp.Or(flags.addr, simulatorOf(cfg), simulatorAddr)
	if flags.from == "" || flags.body == "" {
		return usagef("--from and --body are needed, for example --from +14155550123 --body STOP")
	}
	if c := message.Channel(flags.channel); c != "" && c != message.SMS && c != message.WhatsApp {
		return usagef("there is no channel %q: want sms or whatsapp", flags.channel)
	}
	person, err := parseAddress(flags.from, cfg.DefaultRegion)
	if err != nil {
		return err
	}
	in := twiliosim.InboundMessage{From: string(person), To: strings.TrimPrefix(flags.to, whatsappPrefix), Body: flags.body}
	if flags.to == "" || flags.channel == "" {
		if err := answered(ctx, &flags, &in); err != nil {
			return err
		}
	}
	if in.To == "" {
		in.To = configuredSender(cfg, flags.channel)
	}
	if in.To == "" {
		return usagef("nothing was sent to this person yet and no sender is configured: name our number with --to")
	}
	if flags.channel == string(message.WhatsApp) {
		in.From, in.To = whatsappPrefix+in.From, whatsappPrefix+in.To
	}
	result, err := postReply(ctx, flags.addr, in)
	switch {
	case err != nil:
		return err
	case flags.asJSON:
		return r.printJSON(result)
	case result.HTTPStatus == 0:
		r.printf("recorded as %s; the simulator has no BECKON_PUBLIC_URL to post it to\n", result.SID)
	case result.HTTPStatus/100 == 2:
		r.printf("sent as %s, beckon answered %d\n", result.SID, result.HTTPStatus)
	default:
		return fmt.Errorf("sent as %s, but beckon answered %d: look at its log", result.SID, result.HTTPStatus)
	}
	return nil
}

// simulatorOf is where the configured API is when it can be a simulator; Twilio's own has https.
func simulatorOf(cfg *config.Config) string {
	u, err := url.Parse(cfg.Twilio.APIURL)
	if err != nil || u.Scheme != "http" {
		return ""
	}
	return u.Host
}

// configuredSender is our number on a channel, empty when it is not known.
func configuredSender(cfg *config.Config, channel string) string {
	if channel == string(message.WhatsApp) {
		return string(cfg.Twilio.WhatsAppFrom)
	}
	return string(cfg.Twilio.From)
}

// answered fills in what was not given from the newest message to the person.
func answered(ctx context.Context, flags *replyFlags, in *twiliosim.InboundMessage) error {
	var newest twiliosim.Message
	for _, to := range []string{in.From, whatsappPrefix + in.From} {
		isWhatsApp := to != in.From
		if flags.channel != "" && isWhatsApp != (flags.channel == string(message.WhatsApp)) {
			continue
		}
		list, err := sentTo(ctx, flags.addr, to)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].Direction != "inbound" && !list[i].Created.Before(newest.Created) {
				newest = list[i]
			}
		}
	}
	if newest.SID == "" {
		return nil
	}
	if flags.channel == "" && newest.WhatsApp() {
		flags.channel = string(message.WhatsApp)
	}
	if in.To == "" {
		in.To = strings.TrimPrefix(newest.From, whatsappPrefix)
	}
	return nil
}

// sentTo asks the simulator for the messages to an address, oldest first.
func sentTo(ctx context.Context, addr, to string) ([]twiliosim.Message, error) {
	body, err := askSimulator(ctx, http.MethodGet, addr, "/_sim/messages?to="+url.QueryEscape(to), nil)
	if err != nil {
		return nil, err
	}
	var list []twiliosim.Message
	for decoder := json.NewDecoder(bufio.NewReader(bytes.NewReader(body))); decoder.More(); {
		var m twiliosim.Message
		if err := decoder.Decode(&m); err != nil {
			return nil, fmt.Errorf("read the simulator's messages: %w", err)
		}
		list = append(list, m)
	}
	return list, nil
}

func postReply(ctx context.Context, addr string, in twiliosim.InboundMessage) (twiliosim.InboundResult, error) {
	var result twiliosim.InboundResult
	text, err := json.Marshal(in)
	if err != nil {
		return result, fmt.Errorf("encode the reply: %w", err)
	}
	body, err := askSimulator(ctx, http.MethodPost, addr, "/_sim/inbound", text)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(body, &result); err != nil {
		return result, fmt.Errorf("read the simulator's answer: %w", err)
	}
	return result, nil
}

// askSimulator calls a control endpoint of a running simulator.
func askSimulator(ctx context.Context, method, addr, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, localURL(addr)+path, bytes.NewReader(body))
	if err != nil {
		return nil, usagef("--addr must be host:port, for example %s", simulatorAddr)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no simulator answers at %s, start it with beckon simulate twilio: %w", addr, bare(err))
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read the simulator's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		var problem struct{ Error string }
		_ = json.Unmarshal(answer, &problem) // without it the status tells enough
		return nil, fmt.Errorf("the simulator answers %d: %s", response.StatusCode, dash(problem.Error))
	}
	return answer, nil
}
