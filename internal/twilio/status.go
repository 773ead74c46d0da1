package twilio

import "github.com/beckonhq/beckon/internal/message"

// StatusToState gives our state for a status of an outbound message, and false for words that are none (receiving and
// received are of inbound messages) or that we do not know.
//
// partially_delivered becomes Sent: some recipient of several has it, which does not prove that ours does.
//
// Source: Twilio's OpenAPI description, message_enum_status.
func StatusToState(status string) (message.State, bool) {
	switch status {
	case "accepted", "scheduled", "queued", "sending":
		return message.Accepted, true
	case "sent", "partially_delivered":
		return message.Sent, true
	case "delivered":
		return message.Delivered, true
	case "read":
		return message.Read, true
	case "undelivered":
		return message.Undelivered, true
	case "failed", "canceled":
		return message.Failed, true
	}
	return "", false
}
