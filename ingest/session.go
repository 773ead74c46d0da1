package ingest

import "bytes"

// sessionDepth is where SessionId stands: Envelope, Body, notifications, SessionId.
const sessionDepth = 4

// withoutSession returns the document without the text of SessionId, which is a bearer token when an organisation has
// "Send Session ID" on. The document must be well-formed; it is returned as it is when there is nothing to remove, and
// copied else.
func withoutSession(doc []byte) []byte {
	name := []byte("SessionId")
	s := tagScanner{doc: doc}
	var cut []byte
	kept := 0
	for ahead := 0; ; {
		if ahead < s.at || s.at == 0 { // look further only behind the last place found: all looks together are one pass
			i := bytes.Index(doc[s.at:], name)
			if i < 0 {
				break
			}
			ahead = s.at + i
		}
		if !s.next() {
			break
		}
		if s.closing || s.selfClosing || s.depth != sessionDepth || !bytes.Equal(local(s.name), name) {
			continue
		}
		from := s.at
		for s.next() && s.depth >= sessionDepth {
		}
		if s.start > from {
			cut = append(append(cut, doc[kept:from]...), doc[s.start:s.at]...)
			kept = s.at
		}
	}
	if kept == 0 {
		return doc
	}
	return append(cut, doc[kept:]...)
}

func local(name []byte) []byte { return name[bytes.IndexByte(name, ':')+1:] }

// tagScanner walks the tags of a well-formed document.
type tagScanner struct {
	doc         []byte
	at          int // behind the current tag
	start       int // of the current tag
	name        []byte
	closing     bool
	selfClosing bool
	depth       int // of elements open behind the current tag; of the element itself at its start
}

func (s *tagScanner) next() bool {
	for {
		i := bytes.IndexByte(s.doc[s.at:], '<')
		if i < 0 {
			return false
		}
		s.start = s.at + i
		rest := s.doc[s.start:]
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			s.skip("-->", len("<!--"))
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			s.skip("]]>", len("<![CDATA["))
		case bytes.HasPrefix(rest, []byte("<?")):
			s.skip("?>", len("<?"))
		default:
			return s.tag()
		}
	}
}

func (s *tagScanner) skip(end string, from int) {
	i := bytes.Index(s.doc[s.start+from:], []byte(end))
	if i < 0 {
		s.at = len(s.doc)
		return
	}
	s.at = s.start + from + i + len(end)
}

func (s *tagScanner) tag() bool {
	if s.selfClosing {
		s.depth-- // the element before had no end tag
	}
	end := tagEnd(s.doc, s.start)
	if end < 0 {
		return false
	}
	inner := s.doc[s.start+1 : end]
	s.at = end + 1
	s.closing = bytes.HasPrefix(inner, []byte("/"))
	s.selfClosing = bytes.HasSuffix(inner, []byte("/"))
	inner = bytes.Trim(inner, "/")
	if i := bytes.IndexAny(inner, " \t\r\n"); i >= 0 {
		inner = inner[:i]
	}
	s.name = inner
	if s.closing {
		s.depth--
	} else {
		s.depth++
	}
	return true
}

// tagEnd is the place of the > that ends the tag; one in an attribute's value does not.
func tagEnd(doc []byte, from int) int {
	var quote byte
	for i := from; i < len(doc); i++ {
		switch c := doc[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i
		}
	}
	return -1
}
