package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/go-json-experiment/json"

	"outlook-monitor/internal/ooo"
)

// believed reports whether an item with this verdict causes something.
func (v Verdict) believed() bool { return v == Accepted || v == Unverified || v == Undecryptable }

// genuine is an item whose clientState is right.
type genuine struct {
	mailbox      ooo.RecordID // that the clientState names
	tag          string       // of the resource, likewise
	change       bool         // it has a changeType
	event        ooo.LifecycleKind
	notification string // names it in a history
	subscription ooo.SubscriptionID
	content      []byte // encrypted, as it came; nil: none
	verdict      Verdict
}

// judge returns the items that are to be believed, and counts the others.
func (r *Receiver) judge(ctx context.Context, body []byte, c collection, keys ooo.ClientStateKeys, counts map[Verdict]int) []genuine {
	right := make([]genuine, 0, len(c.Items.list))
	for _, it := range c.Items.list {
		state := it.ClientState.text(body)
		mailbox, ok := keys.Verify(state)
		if !ok {
			counts[Forged]++
			continue
		}
		g := it.decode(body)
		g.mailbox, g.tag = ooo.RecordID(mailbox), ooo.ResourceTagOf(state)
		if !g.change && g.event == "" {
			counts[Ignored]++
			continue
		}
		right = append(right, g)
	}
	if len(right) == 0 || r.cfg.Tokens == nil {
		return right
	}
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	tokens := r.checkTokens(ctx, tokensIn(c.Tokens.in(body)))
	believed := right[:0]
	for _, it := range right {
		if it.verdict = r.prove(ctx, it.content, tokens); it.verdict.believed() {
			believed = append(believed, it)
		} else {
			counts[it.verdict]++
		}
	}
	return believed
}

// maxID is the longest id that is kept: Graph's are GUIDs.
const maxID = 128

// decode reads what we need of an item whose clientState is right.
func (it *item) decode(body []byte) genuine {
	id, subscription := it.ID.text(body), it.SubscriptionID.text(body)
	change, event := it.ChangeType.text(body), it.LifecycleEvent.text(body)
	if id == "" || len(id) > maxID {
		sum := sha256.Sum256([]byte(subscription + " " + change + event))
		id = base64.RawURLEncoding.EncodeToString(sum[:9])
	}
	if len(subscription) > maxID {
		subscription = ""
	}
	return genuine{
		change: change != "", event: eventOf(event), notification: id, subscription: ooo.SubscriptionID(subscription),
		content: it.Content.in(body), verdict: Accepted,
	}
}

// eventOf returns the kind of a lifecycle event, empty if it is none that we know.
func eventOf(text string) ooo.LifecycleKind {
	switch kind := ooo.LifecycleKind(text); kind {
	case ooo.ReauthorizationRequired, ooo.SubscriptionWasRemoved, ooo.NotificationsMissed:
		return kind
	}
	return ""
}

// proof is what the tokens of a request show.
type proof int

const (
	noTokens proof = iota
	goodTokens
	badTokens
	uncheckedTokens
)

func (r *Receiver) checkTokens(ctx context.Context, tokens []string) proof {
	if len(tokens) == 0 {
		return noTokens
	}
	err := r.cfg.Tokens.Check(ctx, tokens)
	switch {
	case err == nil:
		return goodTokens
	case errors.Is(err, ErrNoMetadata):
		r.cfg.Log.DebugContext(ctx, "validation tokens not checked", "err", err)
		return uncheckedTokens
	}
	r.cfg.Log.DebugContext(ctx, "validation tokens refused", "err", err)
	return badTokens
}

// prove judges an item whose clientState is right by its encrypted content, if it has
// any, and the tokens of its request.
func (r *Receiver) prove(ctx context.Context, content []byte, tokens proof) Verdict {
	encrypted := content != nil
	switch {
	case tokens == badTokens || encrypted && tokens == noTokens:
		return BadToken
	case encrypted:
		err := r.open(ctx, content)
		switch {
		case errors.Is(err, errSealed):
			return BadSignature
		case errors.Is(err, errCertificate) && tokens == goodTokens:
			return Undecryptable
		case err != nil:
			return Unverified
		}
	}
	if tokens == uncheckedTokens {
		return Unverified
	}
	return Accepted
}

// open checks encrypted content, if there is time left.
func (r *Receiver) open(ctx context.Context, content []byte) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.cfg.Certificates == nil:
		return errCertificate
	}
	var s sealed
	if json.Unmarshal(content, &s, asStandard) != nil {
		return errSealed // it is no object
	}
	_, err := r.cfg.Certificates.open(s)
	return err
}
