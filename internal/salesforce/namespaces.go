package salesforce

import (
	"bytes"
	"slices"
)

// The namespaces by their URI: SOAP 1.1, the outbound message WSDL, XML Schema instances, and the two that XML reserves.
const (
	uriSOAP11   = "http://schemas.xmlsoap.org/soap/envelope/"
	uriSOAP12   = "http://www.w3.org/2003/05/soap-envelope"
	uriOutbound = "http://soap.sforce.com/2005/09/outbound"
	uriSObject  = "urn:sobject.enterprise.soap.sforce.com"
	uriInstance = "http://www.w3.org/2001/XMLSchema-instance"
	uriSchema   = "http://www.w3.org/2001/XMLSchema"
	uriXML      = "http://www.w3.org/XML/1998/namespace"
	uriXMLNS    = "http://www.w3.org/2000/xmlns/"
)

// namespace is one of the URIs that matter here, or spaceOther.
type namespace uint8

const (
	spaceNone namespace = iota
	spaceOther
	spaceSOAP11
	spaceSOAP12
	spaceOutbound
	spaceSObject // any of urn:sobject.*.soap.sforce.com
	spaceInstance
	spaceXML
	spaceXMLNS
)

func namespaceOf(uri []byte) namespace {
	switch string(uri) {
	case "":
		return spaceNone
	case uriSOAP11:
		return spaceSOAP11
	case uriSOAP12:
		return spaceSOAP12
	case uriOutbound:
		return spaceOutbound
	case uriInstance:
		return spaceInstance
	case uriXML:
		return spaceXML
	case uriXMLNS:
		return spaceXMLNS
	}
	if bytes.HasPrefix(uri, []byte("urn:sobject.")) && bytes.HasSuffix(uri, []byte(".soap.sforce.com")) {
		return spaceSObject
	}
	return spaceOther
}

// binding is one namespace declaration in scope; the default namespace has an empty prefix.
type binding struct {
	prefix, uri []byte
	space       namespace
}

// attribute is one that declares no namespace. Its space is spaceNone without a prefix.
type attribute struct {
	name  rawName
	value []byte
	bound binding
}

// attributes reads the rest of a start tag behind its name, declares its namespaces, and then resolves the prefixes of
// its attributes: a prefix may be declared after its first use.
func (s *scanner) attributes() error {
	for count := 0; ; count++ {
		spaced := s.skipSpace()
		rest := s.src[s.pos:]
		switch {
		case len(rest) > 0 && rest[0] == '>':
			s.pos++
			return s.resolveAttributes()
		case bytes.HasPrefix(rest, []byte("/>")):
			s.pos += 2
			s.closing = true
			return s.resolveAttributes()
		case len(rest) == 0:
			return malformed(s.begin, "the document ends inside of a tag")
		case !spaced:
			return malformed(s.pos, "expected white space, '>' or '/>' in a tag")
		case count == s.limits.MaxAttributes:
			return malformed(s.pos, "too many attributes")
		}
		if err := s.attribute(); err != nil {
			return err
		}
	}
}

func (s *scanner) attribute() error {
	at := s.pos
	name, err := s.scanName()
	if err != nil {
		return err
	}
	value, err := s.equalsQuoted()
	if err != nil {
		return err
	}
	switch {
	case string(name.prefix) == "xmlns":
		return s.declare(at, binding{prefix: name.local, uri: value, space: namespaceOf(value)})
	case string(name.full) == "xmlns":
		return s.declare(at, binding{uri: value, space: namespaceOf(value)})
	}
	s.attrs = append(s.attrs, attribute{name: name, value: value})
	return nil
}

// equalsQuoted reads = and a quoted value.
func (s *scanner) equalsQuoted() ([]byte, error) {
	s.skipSpace()
	if s.pos >= len(s.src) || s.src[s.pos] != '=' {
		return nil, malformed(s.pos, "an attribute without a value")
	}
	s.pos++
	s.skipSpace()
	if s.pos >= len(s.src) || (s.src[s.pos] != '"' && s.src[s.pos] != '\'') {
		return nil, malformed(s.pos, "an attribute value without quotes")
	}
	start := s.pos + 1
	length := bytes.IndexByte(s.src[start:], s.src[s.pos])
	if length < 0 {
		return nil, malformed(s.pos, "an attribute value that does not end")
	}
	end := start + length
	if at := bytes.IndexByte(s.src[start:end], '<'); at >= 0 {
		return nil, malformed(start+at, "'<' in an attribute value")
	}
	s.pos = end + 1
	if err := s.decode(start, end); err != nil {
		return nil, err
	}
	if s.shared {
		return s.text, nil
	}
	return slices.Clone(s.text), nil
}

// declare adds a binding of the element that is open last, by the rules of "Namespaces in XML 1.0" section 3.
func (s *scanner) declare(at int, b binding) error {
	isXMLPrefix := string(b.prefix) == "xml"
	switch {
	case string(b.prefix) == "xmlns", isXMLPrefix != (b.space == spaceXML), b.space == spaceXMLNS:
		return malformed(at, "a declaration of a reserved prefix or namespace")
	case len(b.prefix) > 0 && len(b.uri) == 0:
		return malformed(at, "a prefix bound to no namespace")
	case len(s.scope) == s.limits.MaxAttributes:
		return malformed(at, "too many namespace declarations")
	}
	for _, other := range s.scope[s.open[len(s.open)-1].scope:] {
		if bytes.Equal(other.prefix, b.prefix) {
			return malformed(at, "a repeated attribute")
		}
	}
	s.scope = append(s.scope, b)
	return nil
}

// lookup finds the innermost binding of a prefix.
func (s *scanner) lookup(prefix []byte) (binding, bool) {
	for i := len(s.scope) - 1; i >= 0; i-- { //nolint:modernize // slices.Backward copies each binding; this is the hottest loop
		if bytes.Equal(s.scope[i].prefix, prefix) {
			return s.scope[i], true
		}
	}
	if string(prefix) == "xml" {
		return binding{prefix: prefix, uri: []byte(uriXML), space: spaceXML}, true
	}
	return binding{}, len(prefix) == 0
}

func (s *scanner) elementSpace(prefix []byte) (namespace, error) {
	b, found := s.lookup(prefix)
	if !found {
		return spaceNone, malformed(s.begin, "an element with an unbound prefix")
	}
	return b.space, nil
}

// resolveAttributes resolves the prefixes and refuses two attributes of one expanded name.
func (s *scanner) resolveAttributes() error {
	for i := range s.attrs {
		attr := &s.attrs[i]
		if len(attr.name.prefix) > 0 {
			bound, found := s.lookup(attr.name.prefix)
			if !found {
				return malformed(s.begin, "an attribute with an unbound prefix")
			}
			attr.bound = bound
		}
		for _, other := range s.attrs[:i] {
			if bytes.Equal(other.name.local, attr.name.local) && bytes.Equal(other.bound.uri, attr.bound.uri) {
				return malformed(s.begin, "a repeated attribute")
			}
		}
	}
	return nil
}

// instanceAttribute is the value of xsi:name on the last start tag, without white space around it.
func (s *scanner) instanceAttribute(name string) (value []byte, found bool) {
	for i := range s.attrs {
		if s.attrs[i].bound.space == spaceInstance && string(s.attrs[i].name.local) == name {
			return trimSpace(s.attrs[i].value), true
		}
	}
	return nil, false
}

// isNil reads xsi:nil of the last start tag, an xsd:boolean.
func (s *scanner) isNil() (bool, error) {
	value, found := s.instanceAttribute("nil")
	if !found {
		return false, nil
	}
	isNil, ok := parseBoolean(value)
	if !ok {
		return false, malformed(s.begin, "xsi:nil is neither true nor false")
	}
	return isNil, nil
}

// parseBoolean reads an xsd:boolean.
func parseBoolean(value []byte) (result, ok bool) {
	switch string(value) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	default:
		return false, false
	}
}

// typeName is the local part of xsi:type on the last start tag; nil when there is none.
func (s *scanner) typeName() ([]byte, error) {
	value, found := s.instanceAttribute("type")
	if !found {
		return nil, nil
	}
	prefix, local, prefixed := bytes.Cut(value, []byte{':'})
	if !prefixed {
		prefix, local = nil, value
	}
	if _, bound := s.lookup(prefix); !bound || (prefixed && len(prefix) == 0) {
		return nil, malformed(s.begin, "xsi:type with an unbound prefix")
	}
	if !isAPIName(local) {
		return nil, malformed(s.begin, "xsi:type is not an object name")
	}
	return local, nil
}
