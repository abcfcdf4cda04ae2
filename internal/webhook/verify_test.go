package webhook_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/webhook"
)

// newVerifyingHandler serves a receiver that checks tokens and decrypts content.
func newVerifyingHandler(t testing.TB, s *hintStore, tokens *webhook.Tokens, certificates *webhook.Certificates) http.Handler {
	t.Helper()
	return newHandler(webhook.Config{LeaveHints: s.leave, Counted: s.count, Tokens: tokens, Certificates: certificates})
}

// request is a collection and its expected result.
type request struct {
	tokens        any
	items         []any
	reads         int // read hints
	subscriptions int // subscription hints
	verdicts      counts
}

// post sends the request, which must be answered with 202, and checks the result.
func (r request) post(t testing.TB, path string, tokens *webhook.Tokens, certificates *webhook.Certificates) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"value": r.items, "validationTokens": r.tokens})
	if err != nil {
		t.Fatal(err)
	}
	s := newHintStore()
	answer := send(newVerifyingHandler(t, s, tokens, certificates), path, string(body))
	if answer.Code != http.StatusAccepted || answer.Body.Len() != 0 {
		t.Errorf("answer = %d %q, want 202 and no body", answer.Code, answer.Body)
	}
	reads, subscriptions := len(s.mailboxes(ooo.HintRead)), len(s.mailboxes(ooo.HintSubscription))
	if reads != r.reads || subscriptions != r.subscriptions || !maps.Equal(s.verdicts, r.verdicts) {
		t.Errorf("%d read hints, %d subscription hints, verdicts %v, want %d, %d, %v",
			reads, subscriptions, s.verdicts, r.reads, r.subscriptions, r.verdicts)
	}
}

func (r request) run(t *testing.T, name string, tokens *webhook.Tokens, certificates *webhook.Certificates) {
	for _, path := range []string{webhook.NotificationPath, webhook.LifecyclePath} {
		t.Run(name+" at "+path, func(t *testing.T) { r.post(t, path, tokens, certificates) })
	}
}

// TestResourceData has a request for each hole that published receivers have had.
func TestResourceData(t *testing.T) {
	l := globalLogin()
	tokens := runTokens(t, l.config())
	newest, old := newFiles(t).write(t, key1(), time.Hour), newFiles(t).write(t, key2(), time.Hour)
	certificates := loadCertificates(t, newest, old)
	e, oldPair := newEncrypter(t, certificates), newEncrypter(t, loadCertificates(t, old))
	unknownPair := newEncrypter(t, loadCertificates(t, newFiles(t).write(t, key3(), time.Hour)))
	content := func(edits ...func(map[string]any)) func(map[string]any) {
		return set("encryptedContent", e.encrypt(t, event, nil, edits...))
	}
	wrongSignature := set("dataSignature", signatureOf("x"))
	for _, version := range versions {
		good := []any{l.token(t, version)}
		bad := l.token(t, version, setClaim("aud", otherTenant))
		removal := func(edits ...func(map[string]any)) map[string]any {
			return lifecycleItem(ann, "subscriptionRemoved", edits...)
		}
		for name, r := range map[string]request{
			"valid":                        {good, []any{e.item(t, ann)}, 1, 0, counts{"accepted": 1}},
			"old certificate":              {good, []any{oldPair.item(t, ann)}, 1, 0, counts{"accepted": 1}},
			"tokens without resource data": {good, []any{changeItem(ann)}, 1, 0, counts{"accepted": 1}},
			"neither":                      {nil, []any{changeItem(ann)}, 1, 0, counts{"accepted": 1}},
			"null content":                 {nil, []any{changeItem(ann, set("encryptedContent", nil))}, 1, 0, counts{"accepted": 1}},
			"lifecycle event":              {good, []any{removal()}, 1, 1, counts{"lifecycle": 1}},
			"unknown event":                {good, []any{lifecycleItem(ann, "renamed")}, 0, 0, counts{"ignored": 1}},
			"unknown certificate":          {good, []any{unknownPair.item(t, ann)}, 1, 0, counts{"undecryptable": 1}},

			"no tokens":                       {nil, []any{e.item(t, ann)}, 0, 0, counts{"bad_token": 1}},
			"empty list of tokens":            {[]any{}, []any{e.item(t, ann)}, 0, 0, counts{"bad_token": 1}},
			"token instead of a list":         {good[0], []any{changeItem(ann)}, 0, 0, counts{"bad_token": 1}},
			"null token":                      {[]any{good[0], nil}, []any{e.item(t, ann)}, 0, 0, counts{"bad_token": 1}},
			"only the second token is bad":    {[]any{good[0], bad}, []any{e.item(t, ann)}, 0, 0, counts{"bad_token": 1}},
			"only the first token is bad":     {[]any{bad, good[0]}, []any{e.item(t, ann)}, 0, 0, counts{"bad_token": 1}},
			"bad token, no resource data":     {[]any{bad}, []any{changeItem(ann), removal()}, 0, 0, counts{"bad_token": 2}},
			"no tokens, lifecycle event":      {nil, []any{removal(content())}, 0, 0, counts{"bad_token": 1}},
			"no tokens, unknown certificate":  {nil, []any{unknownPair.item(t, ann)}, 0, 0, counts{"bad_token": 1}},
			"no tokens, second item has data": {nil, []any{changeItem(bob), e.item(t, ann)}, 1, 0, counts{"accepted": 1, "bad_token": 1}},
			"no tokens, content is a string":  {nil, []any{changeItem(ann, set("encryptedContent", "x"))}, 0, 0, counts{"bad_token": 1}},

			"no clientState":              {good, []any{e.item(t, ann), changeItem(bob, content(), without("clientState"))}, 1, 0, counts{"accepted": 1, "forged": 1}},
			"wrong clientState":           {good, []any{changeItem(ann, content(), set("clientState", "x"))}, 0, 0, counts{"forged": 1}},
			"null clientState, lifecycle": {good, []any{removal(content(), set("clientState", nil))}, 0, 0, counts{"forged": 1}},

			"only the second signature is wrong": {good, []any{e.item(t, ann), e.item(t, bob, wrongSignature)}, 1, 0, counts{"accepted": 1, "bad_signature": 1}},
			"only the first signature is wrong":  {good, []any{e.item(t, ann, wrongSignature), e.item(t, bob)}, 1, 0, counts{"accepted": 1, "bad_signature": 1}},
			"wrong signature, lifecycle event":   {good, []any{removal(content(wrongSignature))}, 0, 0, counts{"bad_signature": 1}},
			"content is a string":                {good, []any{changeItem(ann, set("encryptedContent", "x"))}, 0, 0, counts{"bad_signature": 1}},
			"content is empty":                   {good, []any{changeItem(ann, set("encryptedContent", map[string]any{}))}, 0, 0, counts{"bad_signature": 1}},
		} {
			r.run(t, name+" "+version, tokens, certificates)
		}
		for name, forge := range forgeries(version) {
			forged := []any{l.token(t, version, forge)}
			request{forged, []any{e.item(t, ann)}, 0, 0, counts{"bad_token": 1}}.run(t, "token: "+name+" "+version, tokens, certificates)
		}
	}
}

// signatureOf returns a well-formed signature of something else.
func signatureOf(text string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(text, 32)))
}

// changeBytes changes the decoded bytes of a field.
func changeBytes(name string, change func([]byte) []byte) func(map[string]any) {
	return func(fields map[string]any) {
		data, err := base64.StdEncoding.DecodeString(fields[name].(string))
		if err != nil {
			panic(err)
		}
		fields[name] = base64.StdEncoding.EncodeToString(change(data))
	}
}

func TestEncryptedContent(t *testing.T) {
	l := globalLogin()
	tokens, good := runTokens(t, l.config()), []any{l.token(t, "1.0")}
	certificates := loadCertificates(t, newFiles(t).write(t, key1(), time.Hour))
	e := newEncrypter(t, certificates)
	otherKey := encrypter{e.id, &key3().PublicKey}
	edited := func(edit func(map[string]any)) map[string]any { return e.encrypt(t, event, nil, edit) }
	prepared := func(before func(*plainContent)) map[string]any { return e.encrypt(t, event, before) }
	flip := func(data []byte) []byte { data[len(data)/2] ^= 1; return data }
	for name, content := range map[string]map[string]any{
		"key of another item":                edited(set("dataKey", e.encrypt(t, event, nil)["dataKey"])),
		"flipped bit in the data":            edited(changeBytes("data", flip)),
		"flipped bit in the signature":       edited(changeBytes("dataSignature", flip)),
		"flipped bit in the key":             edited(changeBytes("dataKey", flip)),
		"shortened signature":                edited(changeBytes("dataSignature", func(s []byte) []byte { return s[:16] })),
		"no signature":                       edited(without("dataSignature")),
		"data that is not base64":            edited(set("data", "%")),
		"numeric key":                        edited(set("dataKey", 7)),
		"no certificate id":                  edited(without("encryptionCertificateId")),
		"encrypted for another key":          otherKey.encrypt(t, event, nil),
		"secret of 16 bytes":                 prepared(func(p *plainContent) { p.secret = p.secret[:16] }),
		"signed data with a partial block":   prepared(func(p *plainContent) { p.cut = 1 }),
		"signed data that is empty":          prepared(func(p *plainContent) { p.cut = len(p.data) }),
		"no padding":                         prepared(func(p *plainContent) { p.data = []byte(`{"a":"a block."}`) }),
		"padding of 0":                       prepared(func(p *plainContent) { p.data[len(p.data)-1] = 0 }),
		"padding of 17":                      prepared(func(p *plainContent) { p.data[len(p.data)-1] = 17 }),
		"padding of different bytes":         prepared(func(p *plainContent) { p.data[len(p.data)-2] ^= 1 }),
		"text that is not JSON":              e.encrypt(t, "not JSON", nil),
		"text that only begins as an object": e.encrypt(t, `{"id":`, nil),
		"null":                               e.encrypt(t, "null", nil),
		"array":                              e.encrypt(t, "[]", nil),
		"empty text":                         e.encrypt(t, "", nil),
	} {
		request{good, []any{changeItem(ann, set("encryptedContent", content))}, 0, 0, counts{"bad_signature": 1}}.run(t, name, tokens, certificates)
	}
	whole := []any{changeItem(ann, set("encryptedContent", e.encrypt(t, `{"id":"a block"}`, nil)))}
	request{good, whole, 1, 0, counts{"accepted": 1}}.run(t, "padding of a whole block", tokens, certificates)
	request{good, []any{e.item(t, ann)}, 1, 0, counts{"undecryptable": 1}}.run(t, "no certificates", tokens, nil)
	request{nil, []any{e.item(t, ann)}, 1, 0, counts{"accepted": 1}}.run(t, "tokens not checked", nil, certificates)
}

func TestKeysUnavailable(t *testing.T) {
	l := globalLogin()
	l.down = true
	tokens, good := runTokens(t, l.config()), []any{l.token(t, "2.0")}
	certificates := loadCertificates(t, newFiles(t).write(t, key1(), time.Hour))
	e, unknownPair := newEncrypter(t, certificates), encrypter{"unknown", &key3().PublicKey}
	for name, r := range map[string]request{
		"resource data":                   {good, []any{e.item(t, ann)}, 1, 0, counts{"unverified": 1}},
		"no resource data":                {good, []any{changeItem(ann), changeItem(bob)}, 2, 0, counts{"unverified": 2}},
		"lifecycle event":                 {good, []any{lifecycleItem(ann, "subscriptionRemoved")}, 1, 1, counts{"unverified": 1}},
		"neither tokens nor data":         {nil, []any{changeItem(ann)}, 1, 0, counts{"accepted": 1}},
		"unknown certificate":             {good, []any{unknownPair.item(t, ann)}, 1, 0, counts{"unverified": 1}},
		"wrong signature":                 {good, []any{e.item(t, ann, set("dataSignature", signatureOf("x")))}, 0, 0, counts{"bad_signature": 1}},
		"wrong clientState":               {good, []any{e.item(t, ann), changeItem(bob, set("clientState", "x"))}, 1, 0, counts{"unverified": 1, "forged": 1}},
		"resource data without tokens":    {nil, []any{e.item(t, ann)}, 0, 0, counts{"bad_token": 1}},
		"token that is bad without a key": {[]any{l.token(t, "2.0", setClaim("azp", otherTenant))}, []any{e.item(t, ann)}, 0, 0, counts{"bad_token": 1}},
	} {
		r.run(t, name, tokens, certificates)
	}
}

func TestSlowLoginEndpoint(t *testing.T) {
	signer()
	key1()
	synctest.Test(t, func(t *testing.T) {
		l := globalLogin()
		l.delay = time.Hour
		tokens := runTokens(t, l.config())
		certificates := loadCertificates(t, newFiles(t).write(t, key1(), time.Hour))
		began := time.Now()
		request{[]any{l.token(t, "1.0")}, []any{newEncrypter(t, certificates).item(t, ann)}, 1, 0, counts{"unverified": 1}}.
			post(t, webhook.NotificationPath, tokens, certificates)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("answered after %v, want at most 2 s", took)
		}
	})
}

func TestForgedItemsFetchNoKeys(t *testing.T) {
	withTokens(t, nil, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
		time.Sleep(10 * time.Minute)
		for range 10 {
			request{[]any{l.token(t, "1.0", useNewKey)}, []any{changeItem(ann, set("clientState", "x"))}, 0, 0, counts{"forged": 1}}.
				post(t, webhook.NotificationPath, tokens, nil)
		}
		if got := l.fetchCount(); got != 2 {
			t.Errorf("metadata fetched %d times, want only twice in advance", got)
		}
	})
}
