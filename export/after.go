package export

// After is what of c comes after a position, as Request.Resume asks for it: for
// adapters whose changes can only be found from the beginning. It reads what it
// leaves out, and closes c.
func After(order *Order, c Changes, p Position) Changes {
	return &after{Changes: c, order: order.WithDefaults(), position: p}
}

type after struct {
	Changes
	order    *Order
	position Position
	past     bool
}

// Next implements [Cursor].
func (a *after) Next() bool {
	for a.Changes.Next() {
		if a.past = a.past || a.order.Compare(a.Entry().Key, a.position.Key) > 0; a.past {
			return true
		}
	}
	return false
}
