package graph

import (
	"bytes"
	"encoding/json"
	"strconv"

	"outlook-monitor/internal/jsonwalk"
	"outlook-monitor/internal/ooo"
)

// plainBatch takes apart an answer to a batch in which every read succeeded, as
// nearly all do, at a fraction of what decoding costs: the bodies, which are most
// of it, are mostly the same as before and need not be looked into. It returns
// false, and has changed nothing, if the answer is anything but plain; then it is
// for encoding/json, which knows all that JSON may be. What it accepts means the
// same to encoding/json, but values that nobody asks for are only skipped.
func plainBatch(answer []byte, readings []ooo.Reading) bool {
	if len(readings) > mostInBatch {
		return false
	}
	var bodies [mostInBatch][]byte
	c := jsonwalk.Over(answer)
	seen := false
	c.Object(func(name []byte) {
		switch {
		case string(name) == "responses" && !seen:
			seen = true
			c.Array(func() { plainItem(c, bodies[:len(readings)]) })
		case bytes.EqualFold(name, []byte("responses")):
			c.Balk()
		default:
			c.Value()
		}
	})
	if !c.Ended() {
		return false
	}
	for i := range readings {
		if bodies[i] == nil || (ooo.DigestOf(bodies[i]) != readings[i].Digest && !json.Valid(bodies[i])) {
			return false
		}
	}
	for i := range readings {
		readings[i].Err = nil
		understand(&readings[i], bodies[i])
	}
	return true
}

// plainItem puts the body of one answer into its place.
func plainItem(c *jsonwalk.Cursor, bodies [][]byte) {
	var id, status, body []byte
	c.Object(func(name []byte) {
		var into *[]byte
		switch {
		case string(name) == "id":
			into = &id
		case string(name) == "status":
			into = &status
		case string(name) == "body":
			into = &body
		case bytes.EqualFold(name, []byte("id")), bytes.EqualFold(name, []byte("status")), bytes.EqualFold(name, []byte("body")):
			c.Balk()
			return
		default:
			c.Value()
			return
		}
		if *into != nil {
			c.Balk()
		}
		*into = c.Value()
	})
	if len(id) < 3 || id[0] != '"' || string(status) != "200" || len(body) == 0 || body[0] != '{' {
		c.Balk()
		return
	}
	place, err := strconv.Atoi(string(id[1 : len(id)-1]))
	if err != nil || place < 0 || place >= len(bodies) || bodies[place] != nil {
		c.Balk()
		return
	}
	bodies[place] = body
}
