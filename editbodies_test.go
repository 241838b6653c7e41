package varve

import (
	"encoding/json"
	"maps"
	"slices"
)

// EditBodies makes records of b whose body says something else in one member, and hashes
// them again.
func EditBodies(b []byte, use func(member string, edited []byte)) error {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return err
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return err
	}
	for _, member := range slices.Sorted(maps.Keys(body)) {
		edited := maps.Clone(body)
		switch string(body[member]) {
		case "true":
			edited[member] = json.RawMessage("false")
		case "false":
			edited[member] = json.RawMessage("true")
		default:
			delete(edited, member)
		}
		other := r
		var err error
		if other.Body, err = json.Marshal(edited); err != nil {
			return err
		}
		out, err := other.encode()
		if err != nil {
			return err
		}
		use(member, out)
	}
	return nil
}
