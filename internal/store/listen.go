package store

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
)

// Message is what one replica lets all others know. It is in Redis too, so a message
// that is lost costs time and nothing else.
type Message struct {
	Hints    []ooo.Hint
	WaitName string // of a wait of the whole app; empty: there is none
	Wait     Wait
}

// wire is a message as it is sent: fields and values as the hashes have them.
type wire struct {
	Hints    map[string]json.RawMessage `json:"hints,omitempty"` // without their nonces in front: JSON has them too
	WaitName string                     `json:"waitName,omitempty"`
	Wait     string                     `json:"wait,omitempty"`
}

// hintsPerMessage keeps messages short.
const hintsPerMessage = 200

func hintWires(hints []ooo.Hint) (wires []wire) {
	for chunk := range slices.Chunk(hints, hintsPerMessage) {
		w := wire{Hints: map[string]json.RawMessage{}}
		for _, h := range chunk {
			if text, err := json.Marshal(h); err == nil { // it was marshalled before
				w.Hints[hintField(h)] = text
			}
		}
		wires = append(wires, w)
	}
	return wires
}

// announce lets the owners know of hints that were left.
func (s *Store) announce(ctx context.Context, hints []ooo.Hint) {
	s.publish(ctx, hintWires(hints)...)
}

// publish sends messages. What can't be sent is found in Redis a little later.
func (s *Store) publish(ctx context.Context, wires ...wire) {
	if len(wires) == 0 {
		return
	}
	pipe := s.client.Pipeline()
	s.publishOn(ctx, pipe, wires...)
	if _, err := pipe.Exec(ctx); err != nil {
		s.log.DebugContext(ctx, "message not sent", "err", err)
	}
}

func (s *Store) publishOn(ctx context.Context, pipe redis.Pipeliner, wires ...wire) {
	for _, w := range wires {
		if text, err := json.Marshal(w); err == nil { // texts and JSON can be marshalled
			publish := redis.NewIntCmd(ctx, "PUBLISH", s.channel, text)
			publish.SetFirstKeyPos(1) // a Cluster takes it to where the keys are, in the order of the pipeline
			_ = pipe.Process(ctx, publish)
		}
	}
}

const (
	pingEvery   = 3 * time.Second // to find a connection dead on which nothing arrives
	listenAgain = 5 * time.Second // at most
)

// Listen calls heard for each message until ctx ends, and with a zero Message after
// each connect: what was sent before is missed, so look at everything.
func (s *Store) Listen(ctx context.Context, heard func(Message)) error {
	const first = 100 * time.Millisecond
	wait := first
	for ctx.Err() == nil {
		err := s.listen(ctx, func(m Message) {
			wait = first
			heard(m)
		})
		if wait == first && ctx.Err() == nil {
			s.log.WarnContext(ctx, "redis messages interrupted, reconnecting", "err", err)
		}
		if sleep(ctx, wait) != nil {
			break
		}
		wait = min(2*wait, listenAgain)
	}
	return nil
}

var errSilent = errors.New("the connection is dead")

// listen listens on one connection until it breaks.
func (s *Store) listen(ctx context.Context, heard func(Message)) error {
	sub := s.client.Subscribe(ctx)
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { sub.Close() })()
	if err := sub.Subscribe(ctx, s.channel); err != nil {
		return translate(err)
	}
	for pinged := false; ; {
		received, err := sub.ReceiveTimeout(ctx, pingEvery)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			if pinged {
				return errSilent
			}
			err, pinged = sub.Ping(ctx), true
		} else if err == nil {
			pinged = false
		}
		if err != nil {
			return translate(err)
		}
		switch m := received.(type) {
		case *redis.Subscription:
			heard(Message{})
		case *redis.Message:
			if message, ok := decodeMessage(m.Payload); ok {
				heard(message)
			}
		}
	}
}

// decodeMessage reads a message; what can't be read in it is left to the next look.
func decodeMessage(text string) (m Message, ok bool) {
	var w wire
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return Message{}, false
	}
	for field, value := range w.Hints {
		var nonce struct {
			Nonce string `json:"nonce"`
		}
		if json.Unmarshal(value, &nonce) != nil {
			continue
		}
		if h, err := decodeHint(field, tagged(nonce.Nonce, value)); err == nil {
			m.Hints = append(m.Hints, h)
		}
	}
	if wait, ok := parseWait(w.Wait); ok {
		m.WaitName, m.Wait = w.WaitName, wait
	}
	return m, len(m.Hints) > 0 || m.WaitName != ""
}
