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

// wire is a message as it is sent.
type wire struct {
	Hints    map[string]ooo.Hint `json:"hints,omitempty"` // by hintField
	WaitName string              `json:"waitName,omitempty"`
	Wait     string              `json:"wait,omitempty"` // as in the table
}

// hintsPerMessage keeps messages short.
const hintsPerMessage = 200

func hintMessages(hints []ooo.Hint) (messages []wire) {
	for chunk := range slices.Chunk(hints, hintsPerMessage) {
		w := wire{Hints: map[string]ooo.Hint{}}
		for _, h := range chunk {
			w.Hints[hintField(h)] = h
		}
		messages = append(messages, w)
	}
	return messages
}

// decodeMessage reads a message. One that can't be read is not ok: what it says is found
// in Redis a little later.
func decodeMessage(text string) (m Message, ok bool) {
	var w wire
	if json.Unmarshal([]byte(text), &w) != nil {
		return Message{}, false
	}
	for field, h := range w.Hints {
		if setHintField(&h, field) && h.Nonce != "" {
			m.Hints = append(m.Hints, h)
		}
	}
	if wait, ok := parseWait(w.Wait); ok {
		m.WaitName, m.Wait = w.WaitName, wait
	}
	return m, len(m.Hints) > 0 || m.WaitName != ""
}

// publish adds messages to a pipeline.
func (s *Store) publish(ctx context.Context, pipe redis.Pipeliner, messages ...wire) {
	for _, m := range messages {
		if text, err := json.Marshal(m); err == nil { // it was marshalled before, or has texts alone
			command := redis.NewIntCmd(ctx, "PUBLISH", s.channel, text)
			command.SetFirstKeyPos(1) // a Cluster takes it to where the keys are, in the order of the pipeline
			_ = pipe.Process(ctx, command)
		}
	}
}

// announce lets the owners know of hints that were left.
func (s *Store) announce(ctx context.Context, hints []ooo.Hint) {
	pipe := s.client.Pipeline()
	s.publish(ctx, pipe, hintMessages(hints)...)
	if _, err := pipe.Exec(ctx); err != nil {
		s.log.DebugContext(ctx, "message not sent", "err", err)
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
		timeout, ok := errors.AsType[net.Error](err)
		switch silent := ok && timeout.Timeout(); {
		case silent && pinged:
			return errors.New("redis: the connection is dead")
		case silent:
			err, pinged = sub.Ping(ctx), true
		case err == nil:
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
