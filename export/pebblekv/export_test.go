package pebblekv

import "errors"

// Crash lets go of what the process of s holds: locks and open checkpoints. What
// is on disk stays.
func (s *Store) Crash() error {
	var errs []error
	for name, c := range s.open {
		c.closed = true
		errs = append(errs, c.db.Close())
		delete(s.open, name)
	}
	return errors.Join(errs...)
}
