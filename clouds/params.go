package clouds

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/varvekv/varve"
)

// params are the parameters of a URL. They are taken out one after another, and the
// first error stays: done returns it, or names what nobody has taken.
type params struct {
	values url.Values
	err    error
}

func parseParams(u *url.URL) (*params, error) {
	switch {
	case u.Host == "":
		return nil, bad("names no bucket")
	case u.Path != "" || u.Opaque != "":
		return nil, bad("has a path that is not a collection's")
	case u.User != nil:
		return nil, bad("has a user; credentials are parameters")
	case u.Fragment != "":
		return nil, bad("has a fragment; %%23 is a #")
	case u.Port() != "":
		return nil, bad("has a port; another service is named by a parameter")
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, bad("has parameters that are not escaped as those of a URL") // the cause would show them
	}
	return &params{values: values}, nil
}

// bad says what is wrong with a URL, never with a value of it.
func bad(format string, args ...any) error {
	return &varve.OptionError{Field: "collectionURL", Reason: fmt.Sprintf(format, args...)}
}

func (p *params) fail(format string, args ...any) {
	if p.err == nil {
		p.err = bad(format, args...)
	}
}

// has reports which of the parameters are there.
func (p *params) has(names ...string) (found []string) {
	for _, name := range names {
		if _, ok := p.values[name]; ok {
			found = append(found, name)
		}
	}
	return found
}

// take takes a parameter that has several names, of which one may be given. "": none.
func (p *params) take(names ...string) string {
	found := p.has(names...)
	if len(found) > 1 {
		p.fail("parameters %s and %s say the same", found[0], found[1])
	}
	value := ""
	for _, name := range found {
		if len(p.values[name]) > 1 {
			p.fail("parameter %s is given twice", name)
		}
		value = p.values.Get(name)
		if value == "" {
			p.fail("parameter %s is empty", name)
		}
		delete(p.values, name)
	}
	return value
}

// flag takes a parameter that is true or false.
func (p *params) flag(names ...string) bool {
	text := p.take(names...)
	if text == "" {
		return false
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		p.fail("parameter %s is neither true nor false", names[0])
	}
	return value
}

// secret takes a parameter whose + is often left as it is, and becomes a space.
func (p *params) secret(name string) string {
	value := p.take(name)
	if strings.Contains(value, " ") {
		p.fail("parameter %s has a space; write each + as %%2B", name)
	}
	return value
}

// only takes what is one of the values, in any spelling, or nothing. All says which
// these are.
func only[T ~string](p *params, all []T, names ...string) (value T) {
	text := p.take(names...)
	for _, known := range all {
		if strings.EqualFold(text, string(known)) {
			return known
		}
	}
	if text != "" {
		p.fail("parameter %s is none of %v", names[0], all)
	}
	return value
}

// specified takes AUTH and reports whether credentials come from the URL, where they
// would be in those parameters.
func (p *params) specified(credentials ...string) bool {
	found := p.has(credentials...)
	switch only(p, []string{"specified", "implicit"}, "AUTH") {
	case "implicit":
		if len(found) > 0 {
			p.fail("parameter %s contradicts AUTH, which is implicit", found[0])
		}
		return false
	case "specified":
		if len(found) == 0 {
			p.fail("parameter %s is missing, and AUTH is specified", credentials[0])
		}
		return true
	}
	return len(found) > 0
}

// all says that either each of the parameters is there or none, of which it reports
// the former.
func (p *params) all(names ...string) bool {
	found := p.has(names...)
	for _, name := range names {
		if len(found) > 0 && !slices.Contains(found, name) {
			p.fail("parameter %s is missing, for there is %s", name, found[0])
		}
	}
	return len(found) > 0
}

// rest keeps those of the parameters that a driver reads by itself, each given once.
func (p *params) rest(names ...string) url.Values {
	rest := url.Values{}
	for _, name := range p.has(names...) {
		rest.Set(name, p.take(name))
	}
	return rest
}

// done fails if anything was wrong, or is left.
func (p *params) done() error {
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		p.fail("parameter %q is not known", name)
	}
	return p.err
}
