package staging

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/internal/durable"
)

const recordSuffix = ".json"

// record lists the tables that a loader or a table writer has finished.
type record struct {
	Level  int         `json:"level"`
	Span   export.Span `json:"span"`
	Tables []string    `json:"tables"`
	Clears bool        `json:"clears,omitempty"` // the tables delete what is under them
}

func (s *Area) writeRecord(name string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return durable.WriteFile(s.fs, s.dir, name, append(data, '\n'))
}

// resume takes up what the records list, and removes every other file: tables
// that a process did not live to finish.
func (s *Area) resume() error {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	listed := make(map[string]bool)
	for _, name := range names {
		if !strings.HasSuffix(name, recordSuffix) {
			continue
		}
		r, err := s.readRecord(name)
		if err != nil {
			return err
		}
		if err := s.takeUp(name, r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, table := range r.Tables {
			listed[table] = true
		}
	}
	for _, name := range names {
		number, err := strconv.Atoi(strings.TrimSuffix(name, ".sst"))
		if err != nil || listed[name] {
			continue
		}
		s.number = max(s.number, number)
		if err := s.fs.Remove(s.path(name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Area) readRecord(name string) (record, error) {
	var r record
	data, err := durable.ReadFile(s.fs, s.path(name))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	if r.Level < loaded || r.Level >= s.support.Levels {
		return r, fmt.Errorf("%s: level %d is not known", name, r.Level)
	}
	return r, nil
}

// takeUp claims what a former ingester has loaded. The spans of this one must
// still hold it.
func (s *Area) takeUp(name string, r record) error {
	number, err := strconv.Atoi(strings.TrimSuffix(name, recordSuffix))
	if err != nil {
		return err
	}
	s.number = max(s.number, number)
	for _, table := range r.Tables {
		if _, err := s.fs.Stat(s.path(table)); err != nil {
			return err
		}
	}
	span := r.Span
	if len(r.Tables) > 0 && s.clears(span) != r.Clears {
		return fmt.Errorf("what was staged as %s was to clear its span: %t", span, r.Clears)
	}
	if err := s.claim(span, r.Level); err != nil {
		return fmt.Errorf("what was staged as %s does not fit: %w", span, err)
	}
	at, _ := s.place(span, r.Level)
	c := &s.claims[r.Level][at]
	c.record, c.tables, c.former = name, r.Tables, true
	return nil
}

// drop forgets what a claim has loaded. The record goes first, durably: it must
// never list tables that are not there.
func (s *Area) drop(c claim) error {
	if err := s.fs.Remove(s.path(c.record)); err != nil {
		return err
	}
	if err := durable.SyncDir(s.fs, s.dir); err != nil {
		return err
	}
	for _, table := range c.tables {
		if err := s.fs.Remove(s.path(table)); err != nil {
			return err
		}
	}
	return nil
}
