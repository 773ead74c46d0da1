package consent

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/beckonhq/beckon/internal/address"
	"github.com/beckonhq/beckon/internal/message"
)

// Import is what a file of entries does not say itself.
type Import struct {
	Region  string    // of phone numbers without a country code
	Program string    // of rows without a program; empty for everything
	Source  string    // where the file is from, in words; kept as the note
	By      string    // who imports it
	Now     time.Time // no entry may be later
	Ask     bool      // ask the people of new opt-ins to confirm them
}

// LineError is a mistake of one line. Its text has no value of the line but names.
type LineError struct {
	Line    int
	Message string
}

func (e LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// The columns of a file, and the longest text of one.
const (
	colAddress, colChannel, colAction, colProgram, colOccurredAt = "address", "channel", "action", "program", "occurred_at"
	colDisclosure, colSourceURL, colIP, colEvidence              = "disclosure", "source_url", "ip", "evidence"

	longestCell     = 10_000 // bytes
	longestEvidence = 500    // bytes; it is a part of what tells one entry from another, and Postgres bounds a key
)

// Columns are those that a file may have; address, action and occurred_at it must have.
func Columns() []string {
	return []string{colAddress, colChannel, colAction, colProgram, colOccurredAt, colDisclosure, colSourceURL, colIP, colEvidence}
}

// ReadCSV reads entries from a file with a line of column names, and gives each to got, until that returns false. It returns every
// mistake of every line; with one, nothing of the file should be used, so a file is to be read once for the mistakes and once more for
// the entries. The error is that of the reader. The evidence of an entry ends in a hash of its row: the same row is the same entry.
//
// Commas, semicolons or tabs may stand between the columns: which of them Excel writes depends on the country. The text must be UTF-8,
// since what a person agreed to is kept word by word.
func ReadCSV(r io.Reader, with Import, got func(Entry) bool) ([]LineError, error) {
	buffered := bufio.NewReader(r)
	start, _ := buffered.Peek(longestHead) // what there is; an error comes again when it is read
	if bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.HasPrefix(start, []byte("\xfe\xff")) {
		return []LineError{{1, "the file is UTF-16 (Excel calls it Unicode text): save it as CSV UTF-8"}}, nil
	}
	if mark := []byte("\xef\xbb\xbf"); bytes.HasPrefix(start, mark) {
		_, _ = buffered.Discard(len(mark))
	}
	f := &csvFile{Import: with, reader: csv.NewReader(buffered), got: got}
	f.reader.FieldsPerRecord, f.reader.ReuseRecord = -1, true
	f.reader.Comma = separatorOf(start)
	head, err := f.reader.Read()
	if errors.Is(err, io.EOF) {
		return []LineError{{1, "the file is empty: want a line of column names"}}, nil
	}
	if err := f.failed(err); err != nil || len(f.wrong) > 0 {
		return f.wrong, err
	}
	f.header(slices.Clone(head))
	for more := len(f.columns) > 0; more; {
		row, err := f.reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		before := len(f.wrong)
		if err := f.failed(err); err != nil {
			return f.wrong, err
		}
		if len(f.wrong) == before {
			more = f.row(row)
		}
	}
	return f.wrong, nil
}

// longestHead is where the line of column names ends at the latest.
const longestHead = 4096

// separatorOf is the sign that stands first in the line of column names, which have none of these themselves.
func separatorOf(start []byte) rune {
	line, _, _ := bytes.Cut(start, []byte("\n"))
	if i := bytes.IndexAny(line, ",;\t"); i >= 0 {
		return rune(line[i])
	}
	return ','
}

type csvFile struct {
	Import

	reader  *csv.Reader
	columns []string // in the order of the file
	line    int
	wrong   []LineError
	got     func(Entry) bool
}

func (f *csvFile) problem(format string, args ...any) {
	f.wrong = append(f.wrong, LineError{f.line, fmt.Sprintf(format, args...)})
}

// failed notes a mistake in the form of a line; any other error is returned.
func (f *csvFile) failed(err error) error {
	var bad *csv.ParseError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad):
		f.wrong = append(f.wrong, LineError{bad.StartLine, bad.Err.Error()})
		return nil
	}
	return fmt.Errorf("read the file: %w", err)
}

func (f *csvFile) header(head []string) {
	f.line = 1
	for i, name := range head {
		head[i] = strings.ToLower(strings.TrimSpace(name))
		switch {
		case !slices.Contains(Columns(), head[i]):
			f.problem("there is no column %q: want %s", name, strings.Join(Columns(), ", "))
		case slices.Contains(head[:i], head[i]):
			f.problem("column %q stands twice", name)
		}
	}
	for _, name := range []string{colAddress, colAction, colOccurredAt} {
		if !slices.Contains(head, name) {
			f.problem("column %q is missing", name)
		}
	}
	if len(f.wrong) == 0 {
		f.columns = head
	}
}

// row reads an entry, and tells whether more are wanted.
func (f *csvFile) row(row []string) (more bool) {
	f.line, _ = f.reader.FieldPos(0)
	if len(row) != len(f.columns) {
		f.problem("it has %d fields, want %d", len(row), len(f.columns))
		return true
	}
	before := len(f.wrong)
	cell := make(map[string]string, len(row))
	for i, name := range f.columns {
		cell[name] = f.text(name, row[i])
	}
	e := Entry{
		Org: AnyOrg, Source: FromImport, Note: f.Source, Address: f.address(cell[colAddress]), Channel: f.channel(cell[colChannel]),
		Action: f.action(cell[colAction]), Scope: f.scope(cell[colProgram]), OccurredAt: f.moment(cell[colOccurredAt]),
		Ask:   f.Ask,
		Proof: Proof{Disclosure: cell[colDisclosure], SourceURL: cell[colSourceURL], IP: f.ip(cell[colIP]), Operator: f.By},
	}
	if e.Action == OptIn || e.Action == Confirm {
		e.Purpose = message.Marketing
	}
	if len(f.wrong) > before {
		return true
	}
	e.Evidence = strings.TrimSpace(cell[colEvidence] + " row " + hashOf(&e, cell[colEvidence]))
	if isDay(cell[colOccurredAt]) {
		e.OccurredAt = SaidOn(e.OccurredAt, e.Action, f.Now)
	}
	return f.got(e)
}

// text is a cell that can be stored as it is.
func (f *csvFile) text(name, cell string) string {
	longest := longestCell
	if name == colEvidence {
		longest = longestEvidence
	}
	switch cell = strings.TrimSpace(cell); {
	case !utf8.ValidString(cell):
		f.problem("%s: it is not UTF-8: save the file as CSV UTF-8", name)
	case strings.ContainsRune(cell, 0):
		f.problem("%s has a zero byte", name)
	case len(cell) > longest:
		f.problem("%s is longer than %d bytes", name, longest)
	}
	return cell
}

// isDay tells whether a time is a day, without an hour.
func isDay(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

// hashOf is of what the row says, not of how it is written, nor of who imports it.
func hashOf(e *Entry, evidence string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{
		string(e.Address), string(e.Channel), string(e.Action), string(e.Scope.KindOrAll()), e.Scope.Name,
		e.OccurredAt.UTC().Format(time.RFC3339Nano), e.Proof.Disclosure, e.Proof.SourceURL, e.Proof.IP, evidence,
	}))
	return hex.EncodeToString(sum[:8])
}

func (f *csvFile) address(text string) address.Address {
	a, err := address.ParsePerson(text, f.Region)
	if err != nil {
		f.problem("address: %v in region %s", err, f.Region)
	}
	return a
}

func (f *csvFile) channel(text string) message.Channel {
	switch c := message.Channel(strings.ToLower(text)); c {
	case "":
		return AllChannels
	case AllChannels, message.SMS, message.WhatsApp:
		return c
	}
	f.problem("channel: want all, sms or whatsapp")
	return ""
}

func (f *csvFile) action(text string) Action {
	a := Action(strings.ToLower(text))
	if slices.Contains([]Action{OptIn, Confirm, OptOut, ReOptIn}, a) {
		return a
	}
	f.problem("action: want opt_in, confirm, opt_out or re_opt_in")
	return ""
}

func (f *csvFile) scope(program string) Scope {
	if program == "" {
		program = f.Program
	}
	if program != "" && !IsProgram(program) {
		f.problem("program: want a name in kebab-case, or brand/name")
	}
	return ProgramScope(program)
}

func (f *csvFile) moment(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse(time.DateOnly, text)
	}
	switch {
	case err != nil:
		f.problem("occurred_at: want a time in RFC 3339 such as 2026-05-01T12:00:00Z, or a date")
	case at.After(f.Now):
		f.problem("occurred_at: it is in the future")
	}
	return at
}

func (f *csvFile) ip(text string) string {
	if _, err := netip.ParseAddr(text); text != "" && err != nil {
		f.problem("ip: want an IP address")
	}
	return text
}
