package webhook_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/webhook"
)

// request is a collection and what it leads to.
type request struct {
	tokens        any
	items         []any
	reads         []ooo.ObjectID // mailboxes with a read hint
	subscriptions int            // subscription hints
	verdicts      counts
}

// post sends the request to a receiver that checks tokens and decrypts content.
func (r request) post(t testing.TB, tokens *webhook.Tokens, certificates *webhook.Certificates) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"value": r.items, "validationTokens": r.tokens})
	if err != nil {
		t.Fatal(err)
	}
	exchange{string(body), 202, r.reads, r.subscriptions, r.verdicts}.run(t, webhook.NotificationPath, tokens, certificates)
}

var forAnn, forBob = []ooo.ObjectID{ann}, []ooo.ObjectID{bob}

// TestResourceData has a request for each hole that published receivers have had.
func TestResourceData(t *testing.T) {
	l := globalLogin()
	tokens := runTokens(t, l.config())
	newest, old := writePair(t, t.TempDir(), key1(), time.Hour), writePair(t, t.TempDir(), key2(), time.Hour)
	certificates := loadCertificates(t, newest, old)
	e, oldPair := newEncrypter(t, certificates), newEncrypter(t, loadCertificates(t, old))
	unknownPair := newEncrypter(t, loadCertificates(t, writePair(t, t.TempDir(), key3(), time.Hour)))
	content := func(edits ...func(map[string]any)) func(map[string]any) {
		return set("encryptedContent", e.encrypt(t, event, nil, edits...))
	}
	forged := changeItem(bob, content(), without("clientState"))
	wrongSignature := set("dataSignature", signatureOf("x"))
	unsigned := e.item(t, bob, wrongSignature)
	for _, version := range versions {
		good := []any{l.token(t, version)}
		bad := l.token(t, version, setClaim("aud", otherTenant))
		removal := func(edits ...func(map[string]any)) map[string]any {
			return lifecycleItem(ann, "subscriptionRemoved", edits...)
		}
		for name, r := range map[string]request{
			"valid":                        {good, []any{e.item(t, ann)}, forAnn, 0, counts{"accepted": 1}},
			"old certificate":              {good, []any{oldPair.item(t, ann)}, forAnn, 0, counts{"accepted": 1}},
			"tokens without resource data": {good, []any{changeItem(ann)}, forAnn, 0, counts{"accepted": 1}},
			"neither":                      {nil, []any{changeItem(ann)}, forAnn, 0, counts{"accepted": 1}},
			"null content":                 {nil, []any{changeItem(ann, set("encryptedContent", nil))}, forAnn, 0, counts{"accepted": 1}},
			"lifecycle event":              {good, []any{removal()}, forAnn, 1, counts{"lifecycle": 1}},
			"unknown event":                {good, []any{lifecycleItem(ann, "renamed")}, nil, 0, counts{"ignored": 1}},
			"unknown certificate":          {good, []any{unknownPair.item(t, ann)}, forAnn, 0, counts{"undecryptable": 1}},

			"no tokens":                       {nil, []any{e.item(t, ann)}, nil, 0, counts{"bad_token": 1}},
			"empty list of tokens":            {[]any{}, []any{e.item(t, ann)}, nil, 0, counts{"bad_token": 1}},
			"token instead of a list":         {good[0], []any{changeItem(ann)}, nil, 0, counts{"bad_token": 1}},
			"null token":                      {[]any{good[0], nil}, []any{e.item(t, ann)}, nil, 0, counts{"bad_token": 1}},
			"only the second token is bad":    {[]any{good[0], bad}, []any{e.item(t, ann)}, nil, 0, counts{"bad_token": 1}},
			"only the first token is bad":     {[]any{bad, good[0]}, []any{e.item(t, ann)}, nil, 0, counts{"bad_token": 1}},
			"bad token, no resource data":     {[]any{bad}, []any{changeItem(ann), removal()}, nil, 0, counts{"bad_token": 2}},
			"no tokens, unknown certificate":  {nil, []any{unknownPair.item(t, ann)}, nil, 0, counts{"bad_token": 1}},
			"no tokens, second item has data": {nil, []any{changeItem(bob), e.item(t, ann)}, forBob, 0, counts{"accepted": 1, "bad_token": 1}},
			"no tokens, content is a string":  {nil, []any{changeItem(ann, set("encryptedContent", "x"))}, nil, 0, counts{"bad_token": 1}},

			"no clientState":    {good, []any{e.item(t, ann), forged}, forAnn, 0, counts{"accepted": 1, "forged": 1}},
			"wrong clientState": {good, []any{changeItem(ann, content(), set("clientState", "x"))}, nil, 0, counts{"forged": 1}},

			"second signature wrong": {good, []any{e.item(t, ann), unsigned}, forAnn, 0, counts{"accepted": 1, "bad_signature": 1}},
			"first signature wrong":  {good, []any{unsigned, e.item(t, ann)}, forAnn, 0, counts{"accepted": 1, "bad_signature": 1}},
			"wrong signature, event": {good, []any{removal(content(wrongSignature))}, nil, 0, counts{"bad_signature": 1}},
			"content is a string":    {good, []any{changeItem(ann, set("encryptedContent", "x"))}, nil, 0, counts{"bad_signature": 1}},
			"content is empty":       {good, []any{changeItem(ann, set("encryptedContent", map[string]any{}))}, nil, 0, counts{"bad_signature": 1}},
		} {
			t.Run(name+" "+version, func(t *testing.T) { r.post(t, tokens, certificates) })
		}
		for name, forge := range forgeries(version) {
			r := request{[]any{l.token(t, version, forge)}, []any{e.item(t, ann)}, nil, 0, counts{"bad_token": 1}}
			t.Run("token: "+name+" "+version, func(t *testing.T) { r.post(t, tokens, certificates) })
		}
	}
}

func TestTokensOnLifecyclePath(t *testing.T) {
	l := globalLogin()
	body, err := json.Marshal(map[string]any{
		"value":            []any{lifecycleItem(ann, "subscriptionRemoved")},
		"validationTokens": []any{l.token(t, "2.0", setClaim("aud", otherTenant))},
	})
	if err != nil {
		t.Fatal(err)
	}
	exchange{string(body), 202, nil, 0, counts{"bad_token": 1}}.run(t, webhook.LifecyclePath, runTokens(t, l.config()), nil)
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
	certificates := loadCertificates(t, writePair(t, t.TempDir(), key1(), time.Hour))
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
	} {
		r := request{good, []any{changeItem(ann, set("encryptedContent", content))}, nil, 0, counts{"bad_signature": 1}}
		t.Run(name, func(t *testing.T) { r.post(t, tokens, certificates) })
	}
	wholeBlock := []any{changeItem(ann, set("encryptedContent", e.encrypt(t, `{"id":"a block"}`, nil)))}
	request{good, wholeBlock, forAnn, 0, counts{"accepted": 1}}.post(t, tokens, certificates)
	request{good, []any{e.item(t, ann)}, forAnn, 0, counts{"undecryptable": 1}}.post(t, tokens, nil)
	request{nil, []any{e.item(t, ann)}, forAnn, 0, counts{"accepted": 1}}.post(t, nil, certificates)
}

func TestKeysUnavailable(t *testing.T) {
	l := globalLogin()
	l.down = true
	tokens, good := runTokens(t, l.config()), []any{l.token(t, "2.0")}
	certificates := loadCertificates(t, writePair(t, t.TempDir(), key1(), time.Hour))
	e, unknownPair := newEncrypter(t, certificates), encrypter{"unknown", &key3().PublicKey}
	forged := changeItem(bob, set("clientState", "x"))
	for name, r := range map[string]request{
		"resource data":           {good, []any{e.item(t, ann)}, forAnn, 0, counts{"unverified": 1}},
		"no resource data":        {good, []any{changeItem(ann), changeItem(bob)}, []ooo.ObjectID{ann, bob}, 0, counts{"unverified": 2}},
		"lifecycle event":         {good, []any{lifecycleItem(ann, "subscriptionRemoved")}, forAnn, 1, counts{"unverified": 1}},
		"neither tokens nor data": {nil, []any{changeItem(ann)}, forAnn, 0, counts{"accepted": 1}},
		"unknown certificate":     {good, []any{unknownPair.item(t, ann)}, forAnn, 0, counts{"unverified": 1}},
		"wrong signature":         {good, []any{e.item(t, ann, set("dataSignature", signatureOf("x")))}, nil, 0, counts{"bad_signature": 1}},
		"wrong clientState":       {good, []any{e.item(t, ann), forged}, forAnn, 0, counts{"unverified": 1, "forged": 1}},
		"data without tokens":     {nil, []any{e.item(t, ann)}, nil, 0, counts{"bad_token": 1}},
	} {
		t.Run(name, func(t *testing.T) { r.post(t, tokens, certificates) })
	}
	for _, version := range versions {
		for name, forge := range forgeries(version) {
			r := request{[]any{l.token(t, version, forge)}, []any{e.item(t, ann)}, nil, 0, counts{"bad_token": 1}}
			if slices.Contains(needMetadata, name) {
				r.reads, r.verdicts = forAnn, counts{"unverified": 1}
			}
			t.Run("token: "+name+" "+version, func(t *testing.T) { r.post(t, tokens, certificates) })
		}
	}
}

func TestSlowLoginEndpoint(t *testing.T) {
	key1()
	synctest.Test(t, func(t *testing.T) {
		l := globalLogin()
		l.delay = time.Hour
		tokens := runTokens(t, l.config())
		certificates := loadCertificates(t, writePair(t, t.TempDir(), key1(), time.Hour))
		began := time.Now()
		request{[]any{l.token(t, "1.0")}, []any{newEncrypter(t, certificates).item(t, ann)}, forAnn, 0, counts{"unverified": 1}}.
			post(t, tokens, certificates)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("answered after %v, want at most 2 s", took)
		}
	})
}

func TestForgedItemsFetchNoKeys(t *testing.T) {
	withTokens(t, nil, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
		time.Sleep(10 * time.Minute)
		for range 10 {
			request{[]any{l.token(t, "1.0", useNewKey)}, []any{changeItem(ann, set("clientState", "x"))}, nil, 0, counts{"forged": 1}}.
				post(t, tokens, nil)
		}
		if got := l.fetchCount(); got != 2 {
			t.Errorf("metadata fetched %d times, want only twice in advance", got)
		}
	})
}
