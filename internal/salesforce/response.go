package salesforce

// ParseResponse reads a listener's answer, as Salesforce would: ack is the value of Ack, fault the faultstring of a SOAP
// fault (never empty for a fault). The error is a *MalformedError when the body is neither.
func ParseResponse(body []byte) (ack bool, fault string, err error) {
	if err := checkCharacters(body); err != nil {
		return false, "", err
	}
	r := responseReader{decoder: newDecoder(body, DefaultLimits())}
	if err := r.document(); err != nil {
		return false, "", err
	}
	return r.ack, r.fault, nil
}

type responseReader struct {
	*decoder
	ack      bool
	fault    string
	answered bool
}

func (r *responseReader) document() error {
	if err := r.openEnvelope(); err != nil {
		return err
	}
	if err := r.children(r.envelopeChild); err != nil {
		return err
	}
	if !r.answered {
		return malformed(r.begin, "the answer is neither an acknowledgement nor a fault")
	}
	return r.finish()
}

func (r *responseReader) envelopeChild() error {
	if string(r.name.local) != "Body" {
		return r.skip()
	}
	if err := r.startBody(); err != nil {
		return err
	}
	return r.children(r.bodyChild)
}

func (r *responseReader) bodyChild() error {
	switch {
	case r.answered:
		return malformed(r.begin, "a second answer")
	case r.name.is(spaceOutbound, "notificationsResponse"):
		return r.children(r.responseChild)
	case r.name.is(spaceSOAP11, "Fault"):
		r.answered = true
		r.fault = "fault without a text"
		return r.children(r.faultChild)
	default:
		return malformed(r.begin, "the answer is neither an acknowledgement nor a fault")
	}
}

func (r *responseReader) responseChild() error {
	at := r.begin
	if !r.name.is(spaceOutbound, "Ack") || r.answered {
		return malformed(at, "notificationsResponse holds not exactly one Ack")
	}
	r.answered = true
	text, err := r.simpleContent()
	if err != nil {
		return err
	}
	value, ok := parseBoolean(trimSpace(text))
	if !ok {
		return malformed(at, "Ack is neither true nor false")
	}
	r.ack = value
	return nil
}

func (r *responseReader) faultChild() error {
	if string(r.name.local) != "faultstring" {
		return r.skip()
	}
	text, err := r.simpleContent()
	if err != nil {
		return err
	}
	if len(text) > 0 {
		r.fault = string(text)
	}
	return nil
}
