package merge

import "github.com/varvekv/varve/export"

// Sequence is cursors one behind the other, each opened when the one before has
// ended: the tables of a level. The keys of each must come before the next one's.
func Sequence(open ...func() (export.Cursor, error)) export.Cursor {
	return &sequence{open: open}
}

type sequence struct {
	open    []func() (export.Cursor, error)
	current export.Cursor
	err     error
}

func (s *sequence) Next() bool {
	for s.err == nil {
		if s.current != nil {
			if s.current.Next() {
				return true
			}
			if s.err = s.closeCurrent(s.current.Err()); s.err != nil {
				return false
			}
		}
		if len(s.open) == 0 {
			return false
		}
		s.current, s.err = s.open[0]()
		s.open = s.open[1:]
	}
	return false
}

func (s *sequence) closeCurrent(err error) error {
	c := s.current
	s.current = nil
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (s *sequence) Entry() *export.Entry { return s.current.Entry() }

func (s *sequence) Err() error { return s.err }

func (s *sequence) Close() error {
	s.open = nil
	if s.current == nil {
		return nil
	}
	return s.closeCurrent(nil)
}
