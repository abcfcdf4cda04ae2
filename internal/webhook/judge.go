package webhook

import (
	"context"
	"encoding/json"
	"errors"

	"outlook-monitor/internal/ooo"
)

// believed says whether an item with this verdict causes something.
func (v Verdict) believed() bool { return v == Accepted || v == Unverified || v == Undecryptable }

// judged is an item whose clientState is right.
type judged struct {
	item
	mailbox ooo.RecordID // that the clientState names
	tag     string       // of the resource, likewise
	verdict Verdict
}

// judge returns the items that are to be believed, and counts the others.
func (r *Receiver) judge(ctx context.Context, c collection, keys ooo.ClientStateKeys, counts map[Verdict]int) []judged {
	var genuine []judged
	for _, data := range c.items {
		state, object := clientStateOf(data)
		id, right := keys.Verify(state)
		it := judged{mailbox: ooo.RecordID(id), tag: ooo.TagIn(state), verdict: Accepted}
		switch {
		case !object:
			counts[Ignored]++
		case !right:
			counts[Forged]++
		case json.Unmarshal(data, &it.item) != nil || it.ChangeType == "" && it.event() == "":
			counts[Ignored]++
		default:
			genuine = append(genuine, it)
		}
	}
	if len(genuine) == 0 || r.cfg.Tokens == nil {
		return genuine
	}
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	tokens := r.checkTokens(ctx, tokensOf(c.tokens))
	believed := genuine[:0]
	for _, it := range genuine {
		if it.verdict = r.prove(ctx, it.Sealed, tokens); it.verdict.believed() {
			believed = append(believed, it)
		} else {
			counts[it.verdict]++
		}
	}
	return believed
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
