package salesforce

import (
	"errors"
	"fmt"
	"io"

	"github.com/beckonhq/beckon/internal/notification"
)

// ErrNotEncodable is wrapped by the errors of Encode about the envelope itself.
var ErrNotEncodable = errors.New("envelope cannot be encoded")

// EnvelopeSpec is an outbound message to write. Host and APIVersion stand in its two URLs and may be empty, for
// "example.my.salesforce.com" and "61.0". SessionID is empty when "Send Session ID" is off.
type EnvelopeSpec struct {
	Envelope   *notification.Envelope
	Host       string
	APIVersion string
	SessionID  string
}

// Encode writes an outbound message with the very layout that Salesforce uses (captured messages): an XML declaration,
// one space of indent, 18-character ids, a null field left out, a record without fields as an empty sObject. It is
// for simulators and tests. The error wraps ErrNotEncodable when the envelope has no form on the wire, or the writer's.
func Encode(w io.Writer, spec EnvelopeSpec) error {
	body, err := appendEnvelope(nil, spec)
	if err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("write an outbound message: %w", err)
	}
	return nil
}

func appendEnvelope(dst []byte, spec EnvelopeSpec) ([]byte, error) {
	env := spec.Envelope
	org, err := notification.ParseID(string(env.Org))
	if err != nil {
		return nil, fmt.Errorf("%w: organisation: %w", ErrNotEncodable, err)
	}
	if env.Object != "" && !isAPIName([]byte(env.Object)) {
		return nil, fmt.Errorf("%w: the object name is not an API name", ErrNotEncodable)
	}
	dst = append(dst, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<soapenv:Envelope xmlns:soapenv="`+uriSOAP11+`" xmlns:xsd="`+uriSchema+`" xmlns:xsi="`+uriInstance+`">`+"\n"+
		` <soapenv:Body>`+"\n"+`  <notifications xmlns="`+uriOutbound+`">`+"\n"...)
	dst = appendElement(dst, "   ", "OrganizationId", string(org))
	if env.Action != "" {
		dst = appendElement(dst, "   ", "ActionId", string(env.Action))
	}
	if spec.SessionID == "" {
		dst = append(dst, `   <SessionId xsi:nil="true"/>`+"\n"...)
	} else {
		dst = appendElement(dst, "   ", "SessionId", spec.SessionID)
	}
	dst = appendElement(dst, "   ", "EnterpriseUrl", spec.apiURL("c"))
	dst = appendElement(dst, "   ", "PartnerUrl", spec.apiURL("u"))
	for i := range env.Notifications {
		if dst, err = appendNotification(dst, env.Object, &env.Notifications[i]); err != nil {
			return nil, err
		}
	}
	return append(dst, "  </notifications>\n </soapenv:Body>\n</soapenv:Envelope>"...), nil
}

func (spec EnvelopeSpec) apiURL(api string) string {
	host, version := spec.Host, spec.APIVersion
	if host == "" {
		host = "example.my.salesforce.com"
	}
	if version == "" {
		version = "61.0"
	}
	return "https://" + host + "/services/Soap/" + api + "/" + version + "/" + string(spec.Envelope.Org)
}

func appendNotification(dst []byte, object string, n *notification.Notification) ([]byte, error) {
	dst = append(dst, "   <Notification>\n"...)
	dst = appendElement(dst, "    ", "Id", string(n.ID))
	dst = append(dst, `    <sObject`...)
	if object != "" {
		dst = append(dst, ` xsi:type="sf:`+object+`"`...)
	}
	dst = append(dst, ` xmlns:sf="`+uriSObject+`"`...)
	fields := sentFields(n)
	if len(fields) == 0 {
		return append(dst, "/>\n   </Notification>\n"...), nil
	}
	dst = append(dst, ">\n"...)
	for _, field := range fields {
		if !isAPIName([]byte(field.Name)) || field.Name == "fieldsToNull" {
			return nil, fmt.Errorf("%w: a field name is not an API name", ErrNotEncodable)
		}
		if !isXMLText(field.Value) {
			return nil, fmt.Errorf("%w: field %s has a character that XML does not allow", ErrNotEncodable, field.Name)
		}
		dst = appendElement(dst, "     ", "sf:"+field.Name, field.Value)
	}
	return append(dst, "    </sObject>\n   </Notification>\n"...), nil
}

// sentFields are the fields that are not null, with the record's id in front if it is not among them.
func sentFields(n *notification.Notification) []notification.Field {
	sent := make([]notification.Field, 0, len(n.Fields)+1)
	hasID := false
	for _, field := range n.Fields {
		hasID = hasID || field.Name == "Id"
		if !field.Null {
			sent = append(sent, field)
		}
	}
	if !hasID && n.RecordID != "" {
		sent = append([]notification.Field{{Name: "Id", Value: string(n.RecordID)}}, sent...)
	}
	return sent
}

func appendElement(dst []byte, indent, name, text string) []byte {
	dst = append(append(append(append(dst, indent...), '<'), name...), '>')
	dst = appendEscaped(dst, text)
	return append(append(append(dst, "</"...), name...), ">\n"...)
}
