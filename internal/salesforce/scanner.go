package salesforce

import "bytes"

type token uint8

const (
	tokenEOF token = iota
	tokenStart
	tokenEnd
	tokenText
)

// scanner cuts a document into start tags, end tags and text, and checks that it is well-formed with namespaces.
// The document has passed checkCharacters. Nothing that it gives out outlives the next call of next.
type scanner struct {
	src    []byte
	pos    int
	limits Limits

	begin int         // where the last token began
	name  elementName // of the last start tag
	attrs []attribute // of the last start tag, without namespace declarations
	text  []byte      // of the last text, decoded; it aliases src when shared is true
	// shared says that text needs no copy to survive the next token, only to survive the document.
	shared bool

	open     []openElement
	scope    []binding
	rootSeen bool
	closing  bool // the last start tag was an empty-element tag, its end comes next

	decoded    []byte
	ampersand  cursor
	carriage   cursor
	cdataClose cursor
}

// elementName is a resolved name. Its bytes alias the document.
type elementName struct {
	space namespace
	local []byte
}

func (n elementName) is(space namespace, local string) bool {
	return n.space == space && string(n.local) == local
}

// rawName is a name as it is written: prefix:local, or local alone.
type rawName struct {
	full, prefix, local []byte
}

type openElement struct {
	full  []byte
	scope int // length of the scope outside of this element
}

func newScanner(src []byte, limits Limits) scanner {
	return scanner{
		src: src, limits: limits.orDefaults(),
		open: make([]openElement, 0, 8), scope: make([]binding, 0, 8), attrs: make([]attribute, 0, 4),
		ampersand: cursor{at: -1}, carriage: cursor{at: -1}, cdataClose: cursor{at: -1},
	}
}

// next gives the next token. A start tag is followed by its end, also when it is an empty-element tag.
func (s *scanner) next() (token, error) {
	if s.closing {
		s.closing = false
		s.pop()
		return tokenEnd, nil
	}
	for {
		s.begin = s.pos
		rest := s.src[s.pos:]
		switch {
		case len(rest) == 0:
			return tokenEOF, s.checkEnd()
		case rest[0] != '<':
			return tokenText, s.characters()
		case len(rest) == 1:
			return tokenEOF, malformed(s.begin, "the document ends inside of a tag")
		case rest[1] == '/':
			return tokenEnd, s.endTag()
		case rest[1] == '?':
			return tokenEOF, malformed(s.begin, "a processing instruction; SOAP 1.1 allows none")
		case rest[1] != '!':
			return tokenStart, s.startTag()
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			return tokenText, s.cdata()
		case !bytes.HasPrefix(rest, []byte("<!--")):
			return tokenEOF, malformed(s.begin, "a DOCTYPE or another declaration; SOAP 1.1 allows none")
		}
		if err := s.comment(); err != nil {
			return tokenEOF, err
		}
	}
}

// child goes to the next element inside of the current one, over any text. It is false when the current element ends.
func (s *scanner) child() (bool, error) {
	for {
		if len(s.open) > 0 {
			s.skipSpace() // nearly always all that there is between tags, and it needs no check
		}
		tok, err := s.next()
		if err != nil {
			return false, err
		}
		if tok != tokenText {
			return tok == tokenStart, nil
		}
	}
}

// children calls read at the start tag of each child of the current element, through the end of that element. read must
// read its child through the end.
func (s *scanner) children(read func() error) error {
	for {
		more, err := s.child()
		if err != nil || !more {
			return err
		}
		if err := read(); err != nil {
			return err
		}
	}
}

// skip reads to the end of the element whose start tag was the last token.
func (s *scanner) skip() error {
	for depth := len(s.open) - 1; len(s.open) > depth; {
		if _, err := s.next(); err != nil {
			return err
		}
	}
	return nil
}

// finish reads to the end of the document, after the root.
func (s *scanner) finish() error {
	for {
		if tok, err := s.next(); err != nil || tok == tokenEOF {
			return err
		}
	}
}

func (s *scanner) checkEnd() error {
	if len(s.open) > 0 {
		return malformed(s.pos, "the document ends before its elements do")
	}
	if !s.rootSeen {
		return malformed(s.pos, "the document holds no element")
	}
	return nil
}

func (s *scanner) startTag() error {
	if len(s.open) == 0 && s.rootSeen {
		return malformed(s.begin, "a second root element")
	}
	if len(s.open) >= s.limits.MaxDepth {
		return malformed(s.begin, "elements are nested too deeply")
	}
	s.rootSeen = true
	s.pos++
	name, err := s.scanName()
	if err != nil {
		return err
	}
	s.open = append(s.open, openElement{full: name.full, scope: len(s.scope)})
	s.attrs = s.attrs[:0]
	if s.pos < len(s.src) && s.src[s.pos] == '>' {
		s.pos++
	} else if err := s.attributes(); err != nil {
		return err
	}
	s.name.local = name.local
	s.name.space, err = s.elementSpace(name.prefix)
	return err
}

func (s *scanner) endTag() error {
	if len(s.open) == 0 {
		return malformed(s.begin, "an end tag without a start tag")
	}
	name := s.open[len(s.open)-1].full
	rest := s.src[s.pos+2:]
	if !bytes.HasPrefix(rest, name) {
		return malformed(s.begin, "an end tag that does not match its start tag")
	}
	s.pos += 2 + len(name)
	if s.pos < len(s.src) && s.src[s.pos] != '>' {
		s.skipSpace()
	}
	if s.pos >= len(s.src) || s.src[s.pos] != '>' {
		return malformed(s.begin, "an end tag that does not match its start tag")
	}
	s.pos++
	s.pop()
	return nil
}

func (s *scanner) pop() {
	last := len(s.open) - 1
	s.scope = s.scope[:s.open[last].scope]
	s.open = s.open[:last]
}

// scanName reads a name and leaves pos behind it.
func (s *scanner) scanName() (rawName, error) {
	start, colon := s.pos, -1
	i := start
	inName := [4]uint64{lowNameBytes, highNameBytes} // isNameByte without a branch
	for ; i < len(s.src); i++ {
		c := s.src[i]
		if inName[c>>6]>>(c&63)&1 != 0 {
			continue
		}
		if c != ':' || colon >= 0 {
			break
		}
		colon = i
	}
	name := rawName{full: s.src[start:i], local: s.src[start:i]}
	if colon >= 0 {
		name.prefix, name.local = s.src[start:colon], s.src[colon+1:i]
		if len(name.prefix) == 0 || !isNameStart(name.prefix[0]) {
			return rawName{}, malformed(start, "a bad name before a colon")
		}
	}
	if len(name.local) == 0 || !isNameStart(name.local[0]) {
		return rawName{}, malformed(start, "expected a name of ASCII letters, digits, '.', '-' and '_'")
	}
	s.pos = i
	return name, nil
}

// skipSpace leaves pos at the next byte that is not white space and says whether there was any.
func (s *scanner) skipSpace() bool {
	start := s.pos
	for s.pos < len(s.src) && isSpace(s.src[s.pos]) {
		s.pos++
	}
	return s.pos > start
}
