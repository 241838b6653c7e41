package main

import (
	"errors"
	"fmt"
)

// guard says which ratios have grown beyond so many times what is usual. A small data set and
// a busy machine move them, so that the factor must be generous.
func (p *plan) guard(r *results, factor float64) error {
	var errs []error
	guarded := 0
	for _, b := range bounds() {
		for i, dataset := range b.datasets {
			got, known := b.measured(r, dataset)
			if !known {
				continue
			}
			guarded++
			if most := factor * max(b.usual[i], b.limit); got > most {
				errs = append(errs, fmt.Errorf("%s, %s, compared with %s: %.2f, more than %.1f times %.2f", b.what, dataset, b.against, got, factor, most/factor))
			}
		}
	}
	if most := p.mostMemory(r); most > maxMemory {
		errs = append(errs, fmt.Errorf("memory: %s, more than %s", mebibytes(most), mebibytes(maxMemory)))
	}
	if guarded == 0 {
		errs = append(errs, errors.New("guard: nothing was measured that is compared with anything"))
	}
	return errors.Join(errs...)
}
