package webhook

import (
	"context"
	"errors"

	"outlook-monitor/internal/ooo"
)

// believed says whether an item with this verdict causes something.
func (v Verdict) believed() bool { return v == Accepted || v == Unverified || v == Undecryptable }

// genuine is an item whose clientState is right.
type genuine struct {
	item
	mailbox ooo.RecordID // that the clientState names
	tag     string       // of the resource, likewise
	change  bool         // it has a changeType
	event   ooo.LifecycleKind
	verdict Verdict
}

// judge returns the items that are to be believed, and counts the others.
func (r *Receiver) judge(ctx context.Context, c collection, keys ooo.ClientStateKeys, counts map[Verdict]int) []genuine {
	right := make([]genuine, 0, len(c.items))
	for _, it := range c.items {
		state := it.clientState.text()
		id, ok := keys.Verify(state)
		if !ok {
			counts[Forged]++
			continue
		}
		change, event := it.changeType.text() != "", eventOf(it.lifecycleEvent.text())
		if !change && event == "" {
			counts[Ignored]++
			continue
		}
		right = append(right, genuine{it, ooo.RecordID(id), ooo.TagIn(state), change, event, Accepted})
	}
	if len(right) == 0 || r.cfg.Tokens == nil {
		return right
	}
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	tokens := r.checkTokens(ctx, tokensOf(c.tokens))
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
func (r *Receiver) prove(ctx context.Context, content field, tokens proof) Verdict {
	encrypted := content != nil && content[0] != 'n' // null
	switch {
	case tokens == badTokens || encrypted && tokens == noTokens:
		return BadToken
	case encrypted:
		err := r.open(ctx, sealedIn(content))
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

// open looks at encrypted content, while there is time to.
func (r *Receiver) open(ctx context.Context, s sealed) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.cfg.Certificates == nil:
		return errCertificate
	}
	_, err := r.cfg.Certificates.open(s)
	return err
}
