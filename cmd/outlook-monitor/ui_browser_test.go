package main_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"outlook-monitor/internal/must"
)

// browser is a headless Chromium with one page.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // errors on the console, including policy violations; guarded by mu
}

// browse opens a browser window of this size.
func browse(t *testing.T, width, height int64) *browser {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-sync", true), chromedp.NoFirstRun, chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WSURLReadTimeout(60*time.Second))
	ctx, closeAll := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closePage := chromedp.NewContext(ctx)
	b := &browser{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	var listening sync.WaitGroup
	listening.Go(func() {
		for message, err := range messages {
			if err != nil || !message.IsException() && message.Type != chromedp.ConsoleError {
				continue
			}
			// The login form checks whether there is a session.
			if text := message.String() + " " + message.URL; !strings.Contains(text, "401 (Unauthorized)") {
				b.mu.Lock()
				b.problems = append(b.problems, text)
				b.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("close the browser: %v", err)
		}
		closePage()
		closeAll()
		listening.Wait()
	})
	b.do(chromedp.EmulateViewport(width, height))
	return b
}

// checkConsole checks that the console has no errors but the expected ones: no failed script or
// request, and no violation of the page's policy.
func (b *browser) checkConsole(expected ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, problem := range b.problems {
		if !slices.ContainsFunc(expected, func(text string) bool { return strings.Contains(problem, text) }) {
			b.t.Errorf("console error %q, want none", problem)
		}
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		body, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body?.innerText ?? ''"))
		b.mu.Lock()
		defer b.mu.Unlock()
		b.t.Fatalf("browser: %v; page: %.600q; console: %q", err, body, b.problems)
	}
}

// login opens the page and logs in.
func (b *browser) login(base, token string) {
	b.t.Helper()
	b.do(chromedp.Navigate(base+"/ui/"), chromedp.WaitVisible("#token"),
		chromedp.SendKeys("#token", token+kb.Enter), chromedp.WaitVisible("#search"))
}

func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("browser: %v: %.300s", err, expression)
	}
	return value
}

// until waits until an expression is true.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !eval[bool](b, expression); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("not true within 30 s: %s; page: %.900q", what, eval[string](b, "document.body.innerText"))
		}
	}
}

// waitForText waits until an element contains text.
func (b *browser) waitForText(selector, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s contains %q", selector, text),
		fmt.Sprintf("(document.querySelector(%q)?.innerText ?? '').includes(%q)", selector, text))
}

// press sends keys to the focused element.
func (b *browser) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.do(chromedp.KeyEvent(key))
	}
}

// slash presses the slash key as one event, so that the page can prevent its default action.
func (b *browser) slash() {
	b.t.Helper()
	for _, event := range []input.DispatchKeyEventParams{
		{Type: input.DispatchKeyEventTypeKeyDown, Key: "/", Code: "Slash", Text: "/"},
		{Type: input.DispatchKeyEventTypeKeyUp, Key: "/", Code: "Slash"},
	} {
		_, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, event)
		must.NoError(b.t, err)
	}
}

// tabTo presses Tab until the element has the focus.
func (b *browser) tabTo(selector string) {
	b.t.Helper()
	for range 80 {
		if eval[bool](b, fmt.Sprintf("document.activeElement?.matches(%q) ?? false", selector)) {
			return
		}
		b.press(kb.Tab)
	}
	b.t.Fatalf("Tab never reaches %s", selector)
}

// theme sets the colour scheme.
func (b *browser) theme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	must.NoError(b.t, err)
}
