package salesforce

import (
	"fmt"
	"io"
	"strings"
)

// ContentType is the media type of every answer: SOAP 1.1 over HTTP (W3C note, section 6).
const ContentType = "text/xml; charset=utf-8"

// FaultCode says whose fault it is (SOAP 1.1 section 4.4.1).
type FaultCode string

// The fault codes that a listener uses.
const (
	FaultClient FaultCode = "soapenv:Client" // the message will never be acceptable
	FaultServer FaultCode = "soapenv:Server" // the same message may be accepted later
)

const (
	answerHead = `<soapenv:Envelope xmlns:soapenv="` + uriSOAP11 + `"><soapenv:Body>`
	answerTail = `</soapenv:Body></soapenv:Envelope>`
	ack        = answerHead + `<notificationsResponse xmlns="` + uriOutbound + `"><Ack>true</Ack></notificationsResponse>` +
		answerTail
)

// AckBody is the body of the acknowledgement: notificationsResponse with Ack true, as the outbound message WSDL has it.
// It acknowledges every notification of the message, so send it only when all of them are durable. The caller owns it.
func AckBody() []byte {
	return []byte(ack)
}

// WriteAck writes AckBody to w. The error is the writer's, wrapped.
func WriteAck(w io.Writer) error {
	if _, err := io.WriteString(w, ack); err != nil {
		return fmt.Errorf("write the acknowledgement: %w", err)
	}
	return nil
}

// FaultBody is the body of a SOAP 1.1 fault. The text is shown to the Salesforce administrator at most, and goes out
// escaped; characters that XML does not allow become U+FFFD.
func FaultBody(code FaultCode, text string) []byte {
	body := append([]byte(nil), answerHead+`<soapenv:Fault><faultcode>`...)
	body = appendEscaped(body, string(code))
	body = append(body, `</faultcode><faultstring>`...)
	body = appendEscaped(body, text)
	return append(body, `</faultstring></soapenv:Fault>`+answerTail...)
}

// appendEscaped appends text as XML character data that reads back as the same text.
func appendEscaped(dst []byte, text string) []byte {
	for _, r := range text {
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '"':
			dst = append(dst, "&quot;"...)
		case r == '\r':
			dst = append(dst, "&#13;"...) // a plain one would be read as a line feed
		case isXMLRune(r):
			dst = append(dst, string(r)...)
		default:
			dst = append(dst, "\uFFFD"...)
		}
	}
	return dst
}

// isXMLText says whether appendEscaped keeps the text as it is.
func isXMLText(text string) bool {
	return strings.ToValidUTF8(text, "") == text && strings.IndexFunc(text, func(r rune) bool { return !isXMLRune(r) }) < 0
}
