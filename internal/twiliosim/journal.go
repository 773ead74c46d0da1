package twiliosim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

// journal is the file that makes an account survive the death of its process. It is only ever added to: one JSON object a
// line, a whole message when it came into being, and its status when that changed. A line is written before the answer to
// the call that made it. It is not synced: it survives kill -9 of the process, not a power cut of the machine.
type journal struct {
	file *os.File
}

// entry is one line. Exactly one field is set.
type entry struct {
	Message *Message `json:"message,omitempty"`
	Status  *change  `json:"status,omitempty"`
}

// change is a new status of a message.
type change struct {
	SID       string    `json:"sid"`
	Status    string    `json:"status"`
	ErrorCode int       `json:"error_code,omitempty"`
	Sent      time.Time `json:"sent"`
	Updated   time.Time `json:"updated"`
}

// openJournal reads what an earlier process wrote and opens the file to add to it. A last line without its end was never
// answered for, and is cut off.
func openJournal(path string, each func(entry)) (*journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	whole, err := readJournal(file, each)
	if err == nil {
		err = file.Truncate(whole)
	}
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the journal: %w", err), file.Close())
	}
	return &journal{file: file}, nil
}

// readJournal returns the length of all whole lines in bytes.
func readJournal(from io.Reader, each func(entry)) (whole int64, err error) {
	lines := bufio.NewReader(from)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil
		}
		if err != nil {
			return whole, err
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return whole, fmt.Errorf("line %d: %w", number, err)
		}
		whole += int64(len(line))
		each(e)
	}
}

// add writes a line in one piece. The caller holds the simulator's lock, which keeps the lines in order.
func (j *journal) add(e entry) error {
	var line bytes.Buffer
	err := json.NewEncoder(&line).Encode(e)
	if err == nil {
		_, err = j.file.Write(line.Bytes())
	}
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// ReadJournal returns the messages that a journal holds, oldest first, as they stood when its last whole line was written.
func ReadJournal(path string) ([]Message, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	defer file.Close()
	var book book
	if _, err := readJournal(file, book.note); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	all := make([]Message, len(book.messages))
	for i, m := range book.messages {
		all[i] = *m
	}
	return all, nil
}

// book is what the lines of a journal add up to.
type book struct {
	messages []*Message
	bySID    map[string]*Message
}

func (b *book) note(e entry) {
	switch {
	case e.Message != nil:
		if b.bySID == nil {
			b.bySID = map[string]*Message{}
		}
		b.messages = append(b.messages, e.Message)
		b.bySID[e.Message.SID] = e.Message
	case e.Status != nil && b.bySID[e.Status.SID] != nil:
		m := b.bySID[e.Status.SID]
		m.Status, m.ErrorCode, m.Sent, m.Updated = e.Status.Status, e.Status.ErrorCode, e.Status.Sent, e.Status.Updated
	}
}

// recall takes over what an earlier process with the same journal had, and carries on with the lives of its messages. What
// was waiting for a callback then gets it again from the beginning, as after an outage of Twilio's: callbacks may be doubled.
func (s *Simulator) recall() error {
	if s.cfg.Journal == "" {
		return nil
	}
	var book book
	var err error
	if s.journal, err = openJournal(s.cfg.Journal, book.note); err != nil {
		return err
	}
	for _, m := range book.messages {
		s.add(m)
		if m.Direction == inboundDirection {
			s.recognize(InboundMessage{From: m.From, To: m.To, Body: m.Body}, m.Created)
			continue
		}
		s.stats.created.Add(1)
		if m.Status == "queued" || m.Status == "accepted" || m.Status == "sent" {
			s.schedule(s.planFor(m, nil))
		}
	}
	return nil
}

// write adds a line; the caller holds mu. A line that cannot be written is an honest outage: the call gets no answer.
func (s *Simulator) write(e entry) bool {
	if s.journal == nil {
		return true
	}
	if err := s.journal.add(e); err != nil {
		s.cfg.Log.Error("twilio simulator: the journal cannot be written", slog.Any("error", err))
		return false
	}
	return true
}
