package salesforce

import "bytes"

// nameTable keeps each field name of an envelope once, and knows which ones the current sObject has had. The sObjects of
// an envelope list the same fields in the same order, so the next name is nearly always the one behind the last.
type nameTable struct {
	names     []string
	spellings []spelling
	had       []int // per name: the last sObject that had it
	index     map[string]int
	object    int
	next      int

	known  bool   // there is a spelling
	prefix string // of all spellings
	quick  bool   // in the current sObject, the prefix is bound to a namespace of fields
}

// spelling is how an earlier sObject wrote the tags of a field, as <sf:Name> and </sf:Name>; empty when it is not known.
type spelling struct {
	open, end []byte
}

// lookahead is how many names are tried for the next field. More than one, since fields that are null are left out.
const lookahead = 4

func newNameTable() nameTable {
	return nameTable{
		index: make(map[string]int),
		names: make([]string, 0, 16), spellings: make([]spelling, 0, 16), had: make([]int, 0, 16),
	}
}

func (t *nameTable) nextObject() {
	t.object++
	t.next = 0
}

// enter begins the fields of an sObject whose start tag was the last token. Limits of depth need no look here: all
// sObjects are equally deep, and the first field of a spelling was read the general way.
func (t *nameTable) enter(s *scanner) {
	b, _ := s.lookup([]byte(t.prefix))
	t.quick = b.space == spaceSObject && !s.closing
}

// predict finds the name whose start tag comes next, in an sObject where that can be told by its spelling. There is no spelling when none of the likely ones does.
func (t *nameTable) predict(rest []byte) (at int, found *spelling) {
	for at := t.next; at < min(t.next+lookahead, len(t.names)); at++ {
		if s := &t.spellings[at]; len(s.open) > 0 && bytes.HasPrefix(rest, s.open) {
			return at, s
		}
	}
	return 0, nil
}

// spell remembers how the name that was given last is written, if all names have the same prefix.
func (t *nameTable) spell(full, local []byte) {
	s := &t.spellings[t.next-1]
	if len(s.open) > 0 {
		return
	}
	prefix := bytes.TrimSuffix(full[:len(full)-len(local)], []byte{':'})
	if !t.known {
		t.known, t.prefix = true, string(prefix)
		t.quick = false // enter looked at another prefix
	}
	if t.prefix == string(prefix) {
		tags := make([]byte, 0, 2*len(full)+5)
		tags = append(append(append(tags, '<'), full...), '>')
		tags = append(append(append(tags, "</"...), full...), '>')
		s.open, s.end = tags[:len(full)+2], tags[len(full)+2:]
	}
}

// name gives the kept name, and whether the current sObject has it for the first time.
func (t *nameTable) name(raw []byte) (name string, fresh bool) {
	at := t.next
	if at >= len(t.names) || t.names[at] != string(raw) {
		at = t.find(raw)
	}
	return t.take(at)
}

// take gives the name at an index, and whether the current sObject has it for the first time.
func (t *nameTable) take(at int) (name string, fresh bool) {
	t.next = at + 1
	fresh = t.had[at] != t.object
	t.had[at] = t.object
	return t.names[at], fresh
}

func (t *nameTable) find(raw []byte) int {
	if at, known := t.index[string(raw)]; known {
		return at
	}
	at := len(t.names)
	name := string(raw)
	t.names = append(t.names, name)
	t.spellings = append(t.spellings, spelling{})
	t.had = append(t.had, 0)
	t.index[name] = at
	return at
}
