package webhook_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/webhook"
)

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
	malformed := json.RawMessage(`{"encryptionCertificateId":"unknown","data":7}`)
	for version, path := range map[string]string{"1.0": webhook.NotificationPath, "2.0": webhook.LifecyclePath} {
		good := []any{l.token(t, version)}
		bad := l.token(t, version, setClaim("aud", otherTenant))
		removal := func(edits ...func(map[string]any)) map[string]any {
			return lifecycleItem(ann, "subscriptionRemoved", edits...)
		}
		for name, r := range map[string]exchange{
			"valid":                        {collectionWith(t, good, e.item(t, ann)), 202, forAnn, 0, counts{"accepted": 1}},
			"old certificate":              {collectionWith(t, good, oldPair.item(t, ann)), 202, forAnn, 0, counts{"accepted": 1}},
			"tokens without resource data": {collectionWith(t, good, changeItem(ann)), 202, forAnn, 0, counts{"accepted": 1}},
			"neither":                      {collection(t, changeItem(ann)), 202, forAnn, 0, counts{"accepted": 1}},
			"null content":                 {collection(t, changeItem(ann, set("encryptedContent", nil))), 202, forAnn, 0, counts{"accepted": 1}},
			"lifecycle event":              {collectionWith(t, good, removal()), 202, forAnn, 1, counts{"lifecycle": 1}},
			"unknown certificate":          {collectionWith(t, good, unknownPair.item(t, ann)), 202, forAnn, 0, counts{"undecryptable": 1}},

			"no tokens":                       {collection(t, e.item(t, ann)), 202, nil, 0, counts{"bad_token": 1}},
			"empty list of tokens":            {collectionWith(t, []any{}, e.item(t, ann)), 202, nil, 0, counts{"bad_token": 1}},
			"token instead of a list":         {collectionWith(t, good[0], changeItem(ann)), 202, nil, 0, counts{"bad_token": 1}},
			"null token":                      {collectionWith(t, []any{good[0], nil}, e.item(t, ann)), 202, nil, 0, counts{"bad_token": 1}},
			"only the second token is bad":    {collectionWith(t, []any{good[0], bad}, e.item(t, ann)), 202, nil, 0, counts{"bad_token": 1}},
			"only the first token is bad":     {collectionWith(t, []any{bad, good[0]}, e.item(t, ann)), 202, nil, 0, counts{"bad_token": 1}},
			"bad token, no resource data":     {collectionWith(t, []any{bad}, changeItem(ann), removal()), 202, nil, 0, counts{"bad_token": 2}},
			"no tokens, unknown certificate":  {collection(t, unknownPair.item(t, ann)), 202, nil, 0, counts{"bad_token": 1}},
			"no tokens, second item has data": {collection(t, changeItem(bob), e.item(t, ann)), 202, forBob, 0, counts{"accepted": 1, "bad_token": 1}},
			"no tokens, content is a string":  {collection(t, changeItem(ann, set("encryptedContent", "x"))), 202, nil, 0, counts{"bad_token": 1}},

			"no clientState": {collectionWith(t, good, e.item(t, ann), forged), 202, forAnn, 0, counts{"accepted": 1, "forged": 1}},

			"second signature wrong": {collectionWith(t, good, e.item(t, ann), unsigned), 202, forAnn, 0, counts{"accepted": 1, "bad_signature": 1}},
			"first signature wrong":  {collectionWith(t, good, unsigned, e.item(t, ann)), 202, forAnn, 0, counts{"accepted": 1, "bad_signature": 1}},
			"wrong signature, event": {collectionWith(t, good, removal(content(wrongSignature))), 202, nil, 0, counts{"bad_signature": 1}},
			"content is a string":    {collectionWith(t, good, changeItem(ann, set("encryptedContent", "x"))), 202, nil, 0, counts{"bad_signature": 1}},
			"content is malformed":   {collectionWith(t, good, changeItem(ann, set("encryptedContent", malformed))), 202, nil, 0, counts{"bad_signature": 1}},
		} {
			t.Run(name+" "+version, func(t *testing.T) { r.run(t, path, tokens, certificates) })
		}
		for name, forge := range forgeries(version) {
			r := exchange{collectionWith(t, []any{l.token(t, version, forge)}, e.item(t, ann)), 202, nil, 0, counts{"bad_token": 1}}
			t.Run("token: "+name+" "+version, func(t *testing.T) { r.run(t, path, tokens, certificates) })
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
		r := exchange{collectionWith(t, good, changeItem(ann, set("encryptedContent", content))), 202, nil, 0, counts{"bad_signature": 1}}
		t.Run(name, func(t *testing.T) { r.run(t, webhook.NotificationPath, tokens, certificates) })
	}
	wholeBlock := changeItem(ann, set("encryptedContent", e.encrypt(t, `{"id":"a block"}`, nil)))
	exchange{collectionWith(t, good, wholeBlock), 202, forAnn, 0, counts{"accepted": 1}}.run(t, webhook.NotificationPath, tokens, certificates)
	exchange{collectionWith(t, good, e.item(t, ann)), 202, forAnn, 0, counts{"undecryptable": 1}}.run(t, webhook.NotificationPath, tokens, nil)
	exchange{collection(t, e.item(t, ann)), 202, forAnn, 0, counts{"accepted": 1}}.run(t, webhook.NotificationPath, nil, certificates)
}

func TestKeysUnavailable(t *testing.T) {
	l := globalLogin()
	l.down = true
	tokens, good := runTokens(t, l.config()), []any{l.token(t, "2.0")}
	certificates := loadCertificates(t, writePair(t, t.TempDir(), key1(), time.Hour))
	e, unknownPair := newEncrypter(t, certificates), encrypter{"unknown", &key3().PublicKey}
	for name, r := range map[string]exchange{
		"resource data":           {collectionWith(t, good, e.item(t, ann)), 202, forAnn, 0, counts{"unverified": 1}},
		"no resource data":        {collectionWith(t, good, changeItem(ann), changeItem(bob)), 202, []ooo.ObjectID{ann, bob}, 0, counts{"unverified": 2}},
		"lifecycle event":         {collectionWith(t, good, lifecycleItem(ann, "subscriptionRemoved")), 202, forAnn, 1, counts{"unverified": 1}},
		"neither tokens nor data": {collection(t, changeItem(ann)), 202, forAnn, 0, counts{"accepted": 1}},
		"unknown certificate":     {collectionWith(t, good, unknownPair.item(t, ann)), 202, forAnn, 0, counts{"unverified": 1}},
		"wrong signature":         {collectionWith(t, good, e.item(t, ann, set("dataSignature", signatureOf("x")))), 202, nil, 0, counts{"bad_signature": 1}},
		"data without tokens":     {collection(t, e.item(t, ann)), 202, nil, 0, counts{"bad_token": 1}},
	} {
		t.Run(name, func(t *testing.T) { r.run(t, webhook.NotificationPath, tokens, certificates) })
	}
	for _, version := range versions {
		for name, forge := range forgeries(version) {
			r := exchange{collectionWith(t, []any{l.token(t, version, forge)}, e.item(t, ann)), 202, nil, 0, counts{"bad_token": 1}}
			if slices.Contains(needMetadata, name) {
				r.reads, r.verdicts = forAnn, counts{"unverified": 1}
			}
			t.Run("token: "+name+" "+version, func(t *testing.T) { r.run(t, webhook.NotificationPath, tokens, certificates) })
		}
	}
}

func TestSlowLoginEndpoint(t *testing.T) {
	slow := func(l *loginEndpoint) { l.delay = time.Hour }
	withTokens(t, slow, func(t *testing.T, l *loginEndpoint, tokens *webhook.Tokens) {
		certificates := loadCertificates(t, writePair(t, t.TempDir(), key1(), time.Hour))
		began := time.Now()
		exchange{collectionWith(t, []any{l.token(t, "1.0")}, newEncrypter(t, certificates).item(t, ann)), 202, forAnn, 0, counts{"unverified": 1}}.
			run(t, webhook.NotificationPath, tokens, certificates)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("answered after %v, want at most 2 s", took)
		}
	})
}
