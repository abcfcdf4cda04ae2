package webhook

import (
	"context"
	"errors"

	"outlook-monitor/internal/ooo"
)

// believed says whether an item with this verdict causes something.
func (v Verdict) believed() bool { return v == Accepted || v == Unverified || v == Undecryptable }

// of names an accepted item by its kind.
func (v Verdict) of(kind Verdict) Verdict {
	if v == Accepted {
		return kind
	}
	return v
}

// judged is an item, the user that its clientState names, and whether to believe
// it.
type judged struct {
	item
	key     ooo.Key
	verdict Verdict
}

// judge tells genuine items from forged ones. Whether a user is monitored is
// found out later.
func (r *Receiver) judge(ctx context.Context, c collection, keys ooo.ClientStateKeys) []judged {
	items := make([]judged, len(c.items))
	genuine := false
	for i, it := range c.items {
		key, right := keys.Verify(it.ClientState)
		items[i] = judged{it, key, Forged}
		if right {
			items[i].verdict, genuine = Accepted, true
		}
	}
	if !genuine || r.cfg.Tokens == nil {
		return items
	}
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	tokens := r.checkTokens(ctx, c.tokens)
	for i := range items {
		if it := &items[i]; it.verdict == Accepted {
			it.verdict = r.prove(ctx, it.Sealed, tokens)
		}
	}
	return items
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

// prove judges an item whose clientState is right.
func (r *Receiver) prove(ctx context.Context, s *sealed, tokens proof) Verdict {
	if tokens == badTokens || s != nil && tokens == noTokens {
		return BadToken
	}
	verdict := Accepted
	if tokens == uncheckedTokens {
		verdict = Unverified
	}
	if s == nil {
		return verdict
	}
	switch err := r.open(ctx, s); {
	case errors.Is(err, errSealed):
		return BadSignature
	case errors.Is(err, errCertificate) && verdict == Accepted:
		return Undecryptable
	case err != nil:
		return Unverified
	}
	return verdict
}

// open looks at encrypted content, while there is time to.
func (r *Receiver) open(ctx context.Context, s *sealed) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.cfg.Certificates == nil:
		return errCertificate
	}
	_, err := r.cfg.Certificates.open(s)
	return err
}
