package webhook_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/webhook"
)

// trusting serves a receiver over b that checks tokens and opens content.
func trusting(t testing.TB, b *inbox, tokens *webhook.Tokens, certificates *webhook.Certificates) http.Handler {
	t.Helper()
	return receive(webhook.Config{Leave: b.leave, Counted: b.counted, Tokens: tokens, Certificates: certificates})
}

// post sends a collection, which is to be answered 202 without a word, and says
// what became of it: the mailboxes to be read, those with a lifecycle event and the
// verdicts.
func post(t testing.TB, h http.Handler, b *inbox, path string, tokens any, items ...any) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"value": items, "validationTokens": tokens})
	if err != nil {
		t.Fatal(err)
	}
	answer := send(h, path, string(body))
	if answer.Code != http.StatusAccepted || answer.Body.Len() != 0 {
		t.Errorf("answer = %d %q, want 202 and no body", answer.Code, answer.Body)
	}
	reads, events := b.of(ooo.HintRead), b.of(ooo.HintSubscription)
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprintf("%d reads %d events %v", len(reads), len(events), strings.TrimPrefix(fmt.Sprint(b.verdicts), "map"))
}

// vector is a request and what is to become of it.
type vector struct {
	tokens any
	items  []any
	want   string
}

func (v vector) run(t *testing.T, name string, tokens *webhook.Tokens, certificates *webhook.Certificates) {
	for _, path := range []string{webhook.NotificationPath, webhook.LifecyclePath} {
		t.Run(name+" at "+path, func(t *testing.T) {
			b := newInbox()
			if got := post(t, trusting(t, b, tokens, certificates), b, path, v.tokens, v.items...); got != v.want {
				t.Errorf("after the request: %s, want %s", got, v.want)
			}
		})
	}
}

// TestHolesOfReceiversAreClosed has a vector for each hole that published
// receivers have, for tokens of both versions.
func TestHolesOfReceiversAreClosed(t *testing.T) {
	l := globalLogin()
	tokens := check(t, l.config())
	newest, old := newFiles(t).write(t, firstKey(), time.Hour), newFiles(t).write(t, secondKey(), time.Hour)
	certificates := load(t, newest, old)
	graph, before := current(t, certificates), current(t, load(t, old))
	gone := current(t, load(t, newFiles(t).write(t, thirdKey(), time.Hour)))
	const nothing = "0 reads 0 events "

	for _, version := range versions {
		good := []any{l.token(t, version)}
		bad := l.token(t, version, claim("aud", stranger))
		removed := func(edits ...func(map[string]any)) map[string]any {
			it := lifecycle(ann, "subscriptionRemoved")
			for _, edit := range edits {
				edit(it)
			}
			return it
		}
		content := func(edits ...func(map[string]any)) func(map[string]any) {
			return put("encryptedContent", graph.seal(t, event, nil, edits...))
		}
		for name, v := range map[string]vector{
			"all is right":                         {good, []any{graph.rich(t, ann)}, "1 reads 0 events [accepted:1]"},
			"a subscription with the old pair":     {good, []any{before.rich(t, ann)}, "1 reads 0 events [accepted:1]"},
			"tokens without resource data":         {good, []any{notice(ann)}, "1 reads 0 events [accepted:1]"},
			"neither tokens nor resource data":     {nil, []any{notice(ann)}, "1 reads 0 events [accepted:1]"},
			"a lifecycle event with tokens":        {good, []any{removed()}, "1 reads 1 events [lifecycle:1]"},
			"an unknown event with tokens":         {good, []any{lifecycle(ann, "renamed")}, nothing + "[ignored:1]"},
			"resource data for a lost certificate": {good, []any{gone.rich(t, ann)}, "1 reads 0 events [undecryptable:1]"},
			"content is null":                      {nil, []any{notice(ann, put("encryptedContent", nil))}, "1 reads 0 events [accepted:1]"},

			"the tokens are missing":               {nil, []any{graph.rich(t, ann)}, nothing + "[bad_token:1]"},
			"the list of tokens is empty":          {[]any{}, []any{graph.rich(t, ann)}, nothing + "[bad_token:1]"},
			"the list of tokens is a token":        {good[0], []any{graph.rich(t, ann)}, nothing + "[bad_token:1]"},
			"a token is null":                      {[]any{good[0], nil}, []any{graph.rich(t, ann)}, nothing + "[bad_token:1]"},
			"a token is empty":                     {[]any{""}, []any{graph.rich(t, ann)}, nothing + "[bad_token:1]"},
			"only the second token is bad":         {[]any{good[0], bad}, []any{graph.rich(t, ann)}, nothing + "[bad_token:1]"},
			"only the first token is bad":          {[]any{bad, good[0]}, []any{graph.rich(t, ann)}, nothing + "[bad_token:1]"},
			"a bad token without resource data":    {[]any{bad}, []any{notice(ann), notice(bob)}, nothing + "[bad_token:2]"},
			"tokens that are no list, alone":       {good[0], []any{notice(ann)}, nothing + "[bad_token:1]"},
			"a bad token with a lifecycle event":   {[]any{bad}, []any{removed()}, nothing + "[bad_token:1]"},
			"a lifecycle event with resource data": {nil, []any{removed(content())}, nothing + "[bad_token:1]"},
			"no token for a lost certificate":      {nil, []any{gone.rich(t, ann)}, nothing + "[bad_token:1]"},
			"resource data hides behind another":   {nil, []any{notice(bob), graph.rich(t, ann)}, "1 reads 0 events [accepted:1 bad_token:1]"},
			"resource data of any form needs them": {nil, []any{notice(ann, put("encryptedContent", "x"))}, nothing + "[bad_token:1]"},

			"the clientState is missing":          {good, []any{graph.rich(t, ann), notice(bob, content(), without("clientState"))}, "1 reads 0 events [accepted:1 forged:1]"},
			"the clientState is wrong":            {good, []any{notice(ann, content(), put("clientState", "x"))}, nothing + "[forged:1]"},
			"the clientState is null in an event": {good, []any{removed(content(), put("clientState", nil))}, nothing + "[forged:1]"},

			"only the second signature is wrong": {good, []any{graph.rich(t, ann), graph.rich(t, bob, put("dataSignature", sum("x")))}, "1 reads 0 events [accepted:1 bad_signature:1]"},
			"only the first signature is wrong":  {good, []any{graph.rich(t, ann, put("dataSignature", sum("x"))), graph.rich(t, bob)}, "1 reads 0 events [accepted:1 bad_signature:1]"},
			"the signature of an event is wrong": {good, []any{removed(content(put("dataSignature", sum("x"))))}, nothing + "[bad_signature:1]"},
			"content is a text":                  {good, []any{notice(ann, put("encryptedContent", "x"))}, nothing + "[bad_signature:1]"},
			"content is empty":                   {good, []any{notice(ann, put("encryptedContent", map[string]any{}))}, nothing + "[bad_signature:1]"},
		} {
			v.run(t, name+" "+version, tokens, certificates)
		}
		for name, edit := range forgeries(version) {
			forged := []any{l.token(t, version, edit)}
			vector{forged, []any{graph.rich(t, ann)}, nothing + "[bad_token:1]"}.run(t, "a token "+name+" "+version, tokens, certificates)
		}
	}
}

// sum is a signature, of something else.
func sum(text string) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(text, 32)))
}

// bytesOf changes the bytes of a field.
func bytesOf(name string, change func([]byte) []byte) func(map[string]any) {
	return func(fields map[string]any) {
		data, err := base64.StdEncoding.DecodeString(fields[name].(string))
		if err != nil {
			panic(err)
		}
		fields[name] = base64.StdEncoding.EncodeToString(change(data))
	}
}

func TestContentThatIsNotGraphs(t *testing.T) {
	l := globalLogin()
	tokens, good := check(t, l.config()), []any{l.token(t, "1.0")}
	pair := newFiles(t).write(t, firstKey(), time.Hour)
	certificates := load(t, pair)
	graph := current(t, certificates)
	another := subscriber{graph.id, &thirdKey().PublicKey}
	sealed := func(before func(*envelope), edits ...func(map[string]any)) map[string]any {
		return graph.seal(t, event, before, edits...)
	}
	elsewhere := sealed(nil)
	flip := func(data []byte) []byte { data[len(data)/2] ^= 1; return data }
	cut := func(n int) func([]byte) []byte { return func(data []byte) []byte { return data[:len(data)-n] } }
	tests := map[string]struct {
		content map[string]any
		want    string
	}{
		"nothing was changed":                  {sealed(nil), "accepted"},
		"a filling of a whole block":           {graph.seal(t, `{"id":"a block"}`, nil), "accepted"},
		"the signature is another item's":      {sealed(nil, put("dataSignature", elsewhere["dataSignature"])), "bad_signature"},
		"the key is another item's":            {sealed(nil, put("dataKey", elsewhere["dataKey"])), "bad_signature"},
		"the data is another item's":           {sealed(nil, put("data", elsewhere["data"])), "bad_signature"},
		"a bit of the data is flipped":         {sealed(nil, bytesOf("data", flip)), "bad_signature"},
		"a bit of the signature is flipped":    {sealed(nil, bytesOf("dataSignature", flip)), "bad_signature"},
		"a bit of the key is flipped":          {sealed(nil, bytesOf("dataKey", flip)), "bad_signature"},
		"the data lost a block":                {sealed(nil, bytesOf("data", cut(16))), "bad_signature"},
		"the data lost a byte":                 {sealed(nil, bytesOf("data", cut(1))), "bad_signature"},
		"the data is empty":                    {sealed(nil, put("data", "")), "bad_signature"},
		"the signature is cut short":           {sealed(nil, bytesOf("dataSignature", cut(16))), "bad_signature"},
		"the signature is empty":               {sealed(nil, put("dataSignature", "")), "bad_signature"},
		"the signature is missing":             {sealed(nil, without("dataSignature")), "bad_signature"},
		"the data is no base64":                {sealed(nil, put("data", "%")), "bad_signature"},
		"the key is a number":                  {sealed(nil, put("dataKey", 7)), "bad_signature"},
		"the certificate id is missing":        {sealed(nil, without("encryptionCertificateId")), "bad_signature"},
		"the certificate id is empty":          {sealed(nil, put("encryptionCertificateId", "")), "bad_signature"},
		"it was made with another certificate": {another.seal(t, event, nil), "bad_signature"},
		"the data is over 2 MiB":               {sealed(nil, put("data", strings.Repeat("A", 3<<20))), "bad_signature"},
		"the key is over 1 KiB":                {sealed(nil, put("dataKey", strings.Repeat("A", 2<<10))), "bad_signature"},
		"a secret of 16 bytes":                 {sealed(func(e *envelope) { e.secret = e.secret[:16] }), "bad_signature"},
		"no filling":                           {sealed(func(e *envelope) { e.data = []byte(`{"a":"a block."}`) }), "bad_signature"},
		"a filling of 0":                       {sealed(func(e *envelope) { e.data[len(e.data)-1] = 0 }), "bad_signature"},
		"a filling of 17":                      {sealed(func(e *envelope) { e.data[len(e.data)-1] = 17 }), "bad_signature"},
		"a filling that is not all the same":   {sealed(func(e *envelope) { e.data[len(e.data)-2] ^= 1 }), "bad_signature"},
		"a text that is no JSON":               {graph.seal(t, "not JSON", nil), "bad_signature"},
		"a text that is null":                  {graph.seal(t, "null", nil), "bad_signature"},
		"a text that is a list":                {graph.seal(t, "[]", nil), "bad_signature"},
		"a text of nothing":                    {graph.seal(t, "", nil), "bad_signature"},
		"an unknown certificate":               {sealed(nil, put("encryptionCertificateId", "other")), "undecryptable"},
	}
	for name, tt := range tests {
		reads := map[string]int{"accepted": 1, "undecryptable": 1}[tt.want]
		vector{good, []any{notice(ann, put("encryptedContent", tt.content))}, fmt.Sprintf("%d reads 0 events [%s:1]", reads, tt.want)}.
			run(t, name, tokens, certificates)
	}
	vector{good, []any{graph.rich(t, ann)}, "1 reads 0 events [undecryptable:1]"}.run(t, "there are no certificates", tokens, nil)
	vector{nil, []any{graph.rich(t, ann)}, "1 reads 0 events [accepted:1]"}.run(t, "tokens are not checked", nil, certificates)
}

func TestWhileKeysCanNotBeHadTheClientStateDecides(t *testing.T) {
	l := globalLogin()
	l.down = true
	tokens, good := check(t, l.config()), []any{l.token(t, "2.0")}
	certificates := load(t, newFiles(t).write(t, firstKey(), time.Hour))
	graph, gone := current(t, certificates), subscriber{"gone", &thirdKey().PublicKey}
	for name, v := range map[string]vector{
		"resource data":                       {good, []any{graph.rich(t, ann)}, "1 reads 0 events [unverified:1]"},
		"no resource data":                    {good, []any{notice(ann), notice(bob)}, "2 reads 0 events [unverified:2]"},
		"a lifecycle event":                   {good, []any{lifecycle(ann, "subscriptionRemoved")}, "1 reads 1 events [unverified:1]"},
		"no tokens and no resource data":      {nil, []any{notice(ann)}, "1 reads 0 events [accepted:1]"},
		"a lost certificate":                  {good, []any{gone.rich(t, ann)}, "1 reads 0 events [unverified:1]"},
		"a wrong signature":                   {good, []any{graph.rich(t, ann, put("dataSignature", sum("x")))}, "0 reads 0 events [bad_signature:1]"},
		"a wrong clientState":                 {good, []any{graph.rich(t, ann), notice(bob, put("clientState", "x"))}, "1 reads 0 events [forged:1 unverified:1]"},
		"resource data without tokens":        {nil, []any{graph.rich(t, ann)}, "0 reads 0 events [bad_token:1]"},
		"a token that needs no key to be bad": {[]any{l.token(t, "2.0", claim("azp", stranger))}, []any{graph.rich(t, ann)}, "0 reads 0 events [bad_token:1]"},
	} {
		v.run(t, name, tokens, certificates)
	}
}

func TestASlowEndpointDelaysNoAnswer(t *testing.T) {
	signer()
	firstKey()
	synctest.Test(t, func(t *testing.T) {
		l := globalLogin()
		l.delay = time.Hour
		tokens := check(t, l.config())
		certificates := load(t, newFiles(t).write(t, firstKey(), time.Hour))
		b, began := newInbox(), time.Now()
		got := post(t, trusting(t, b, tokens, certificates), b, webhook.NotificationPath, []any{l.token(t, "1.0")}, current(t, certificates).rich(t, ann))
		if want := "1 reads 0 events [unverified:1]"; got != want {
			t.Errorf("after the request: %s, want %s", got, want)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("answered after %v, want 2 s at most", took)
		}
	})
}

func TestAForgerWithoutAClientStateCostsNothing(t *testing.T) {
	inTime(t, nil, func(t *testing.T, l *login, tokens *webhook.Tokens) {
		time.Sleep(10 * time.Minute)
		b := newInbox()
		h := trusting(t, b, tokens, nil)
		for range 10 {
			post(t, h, b, webhook.NotificationPath, []any{l.token(t, "1.0", newer)}, notice(ann, put("clientState", "x")))
		}
		if got := l.fetched(); got != 2 {
			t.Errorf("metadata fetched %d times, want not for those who know no clientState", got)
		}
		if b.calls != 0 || b.verdicts["forged"] != 10 {
			t.Errorf("%d calls, verdicts %v, want 10 forged items and no call", b.calls, b.verdicts)
		}
	})
}
