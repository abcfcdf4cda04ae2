package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/redistest"
)

const pageToken = "a token for the page"

// staff are the people that the page shows.
var staff = []string{
	"Ann Baker", "Bob Carter", "Chris Dunn", "Dana Ellis", "Emil Fischer", "Fatima Haddad", "Gavin Ivers", "Hanna Jensen",
	"Igor Kowalski", "Jana Lindqvist", "Karim Mansour", "Lena Novak", "Marco Orsini", "Nadia Petrova", "Oskar Quist", "Paula Romero",
	"Quentin Sauvage", "Rosa Torres", "Sven Ulrich", "Tara Vance", "Uma Watanabe", "Victor Xu", "Wanda Young", "Yusuf Zeman",
}

func addressOf(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, " ", ".")) + "@contoso.example"
}

// office is the program with staff, covered and known to the mediator.
func office(t *testing.T, seed uint64, names []string) *surroundings {
	t.Helper()
	w := world(t, redistest.Start(t).URL(), graphsim.Config{Seed: seed})
	w.env["MONITOR_TOKEN"] = pageToken
	w.mediator.SetMonitorURL(strings.Replace(w.base, "http://", "http://mediator:"+strings.ReplaceAll(pageToken, " ", "%20")+"@", 1))
	for _, name := range names {
		w.join(name)
		w.mediator.Add(addressOf(name))
	}
	w.start("serve")
	w.eventually("the mediator knows everyone and all are covered", func() bool {
		for _, name := range names {
			if _, ok := w.mediator.State(addressOf(name)); !ok {
				return false
			}
		}
		return len(w.covered()) == len(names)
	})
	return w
}

// join puts someone into the directory.
func (w *surroundings) join(name string) {
	w.t.Helper()
	if _, err := w.sim.AddUser(graphsim.User{UserPrincipalName: addressOf(name), Mail: addressOf(name), DisplayName: name}); err != nil {
		w.t.Fatal(err)
	}
}

// leave turns somebody's automatic replies on or off.
func (w *surroundings) leave(name string, away bool) {
	w.t.Helper()
	status := map[bool]string{true: "alwaysEnabled", false: "disabled"}[away]
	if _, err := w.sim.SetAutomaticReplies(addressOf(name), graphsim.AutomaticRepliesUpdate{
		Status: &status, ExternalReplyMessage: new("<p>I am away until Monday. Please call Bob Carter.</p>"), CalendarBlock: true,
	}); err != nil {
		w.t.Fatal(err)
	}
}

// tells waits until the mediator was told.
func (w *surroundings) tells(name string, away bool) {
	w.t.Helper()
	want := map[bool]string{true: "True", false: "False"}[away]
	w.eventually("the mediator is told of "+name, func() bool {
		state, ok := w.mediator.State(addressOf(name))
		return ok && state.Status == want
	})
}

func TestAnOperatorsDay(t *testing.T) {
	w := office(t, 61, staff[:4])
	w.join("Zoe Adams")
	b := browse(t, 1360, 860)

	b.do(chromedp.Navigate(w.base+"/ui"), chromedp.WaitVisible("#token"), chromedp.SendKeys("#token", "wrong"+kb.Enter))
	b.reads("[role=alert]", "not the token")
	b.login(w.base, pageToken)
	b.reads("#range", "1–4 of 4")
	b.reads(".health", "1 replica")
	b.until("Graph, Redis, mediator and public URL are well", `document.querySelectorAll("#health .good").length >= 4`)
	b.until("everyone is covered", `[...document.querySelectorAll(".users .cover")].every((c) => c.innerText.startsWith("Covered"))`)

	// What happens shows in the feed, the list and the counts without a touch.
	b.reads("#feed-state", "live")
	w.leave("Bob Carter", true)
	b.reads("#feed li.fresh", "Bob Carter")
	b.reads(`tr[data-email="bob.carter@contoso.example"]`, "Out of office")
	b.until("one is counted as away", `document.querySelector('[data-filter="away"] .n').innerText === "1"`)

	b.do(chromedp.SendKeys("#search", "CART"))
	b.reads("#range", "1–1 of 1")
	b.do(chromedp.SendKeys("#search", "zzz"))
	b.reads(".empty", "No user matches")
	b.do(chromedp.Clear("#search"), chromedp.SendKeys("#search", kb.Escape))
	b.reads("#range", "of 4")
	b.do(chromedp.Click(`[data-filter="away"]`))
	b.reads("#range", "1–1 of 1")

	// A user's page, and its buttons.
	b.do(chromedp.Click(`tr[data-email="bob.carter@contoso.example"] a`), chromedp.WaitVisible("#timeline svg"))
	b.reads("h1", "Bob Carter")
	b.reads(".said", "Please call Bob Carter.")
	b.reads(".history", "delivered to the mediator")
	b.until("the picture shows when Bob was away", `document.querySelectorAll("#timeline .band").length === 1`)
	b.do(chromedp.Click("#check"))
	b.reads("#toasts", "read now")
	told := len(w.mediator.Calls())
	b.do(chromedp.Click("#resend"))
	w.eventually("the mediator is told again", func() bool { return len(w.mediator.Calls()) > told })
	b.reads(".history", "resend requested")
	b.do(chromedp.Click("#cover"))
	b.reads("#toasts", "checked now")

	// Come and go.
	b.do(chromedp.Click(".back"), chromedp.WaitVisible("#add"), chromedp.Click("#add"), chromedp.WaitVisible("#emails"),
		chromedp.SendKeys("#emails", "nobody@contoso.example"), chromedp.Click("dialog .primary"))
	b.reads("dialog .wrong", "not in the directory")
	b.do(chromedp.SetValue("#emails", addressOf("Zoe Adams")), chromedp.Click("dialog .primary"))
	b.reads("h1", "Zoe Adams")
	w.eventually("Zoe is covered", func() bool { return len(w.covered()) == 5 })
	b.do(chromedp.Click("#remove"), chromedp.WaitVisible("#sure"), chromedp.Click("#sure"))
	b.reads("#range", "of 4")
	w.eventually("Zoe's subscription is taken away", func() bool { return len(w.covered()) == 4 })
	b.until("the feed tells who is gone", `[...document.querySelectorAll("#feed li")].some((li) => /Zoe Adams[^]*monitoring stopped/.test(li.innerText))`)
	b.do(chromedp.Click("#add"), chromedp.WaitVisible("#emails"),
		chromedp.SetValue("#emails", "absent@contoso.example, away@contoso.example"), chromedp.Click("dialog .primary"))
	b.reads(`tr[data-email="absent@contoso.example"] .who`, "not in the directory")

	b.do(chromedp.Click(`[data-view="system"]`))
	b.reads("#replicas", "(this one)")
	b.until("four charts are drawn", `document.querySelectorAll(".chart svg").length === 4`)
	b.do(chromedp.Navigate(w.base + "/ui/api.html"))
	b.reads("main", "/monitor")
	b.do(chromedp.Navigate(w.base+"/ui/"), chromedp.WaitVisible("#leave button"), chromedp.Click("#leave button"), chromedp.WaitVisible("#token"))

	b.clean("404 (Not Found)") // of nobody
}

func TestThePageWithoutAMouse(t *testing.T) {
	w := office(t, 62, staff[:3])
	b := browse(t, 1360, 860)
	b.do(chromedp.Navigate(w.base+"/ui/"), chromedp.WaitVisible("#token"))
	b.press(pageToken, kb.Enter) // the form has the focus
	b.do(chromedp.WaitVisible("#search"))
	b.reads("#range", "of 3")

	b.press(kb.Tab)
	if !ask[bool](b, `document.activeElement.id === "skip" && document.activeElement.getBoundingClientRect().top >= 0`) {
		t.Error("the first Tab does not show the way to the content")
	}
	b.press(kb.Enter)
	if got := ask[string](b, "document.activeElement.id"); got != "main" {
		t.Errorf("focus after skipping = %q, want main", got)
	}
	b.slash()
	b.press("dunn")
	b.reads("#range", "1–1 of 1")
	b.tabTo(".who")
	if !ask[bool](b, `getComputedStyle(document.activeElement).outlineStyle === "solid"`) {
		t.Error("what has the focus has no ring")
	}
	b.press(kb.Enter)
	b.reads("h1", "Chris Dunn")
	b.tabTo("#check")
	b.press(kb.Enter)
	b.reads("#toasts", "read now")
	b.tabTo("#remove")
	b.press(kb.Enter)
	b.do(chromedp.WaitVisible("#sure"))
	b.press(kb.Escape)
	b.until("the question is gone and the button has the focus again", `!document.querySelector("dialog") && document.activeElement.id === "remove"`)
	b.do(chromedp.Navigate(w.base+"/ui/#/system"), chromedp.WaitVisible(".chart svg"))
	b.tabTo(".chart svg")
	b.press(kb.ArrowLeft)
	b.reads(".chart .value", "·")
	b.clean()
}

// TestThePageFits looks at each view in both themes, at a desk and on a phone:
// nothing is wider than the window, every control has a name, and text can be
// read. go test -artifacts keeps the pictures.
func TestThePageFits(t *testing.T) {
	w := office(t, 63, staff)
	for i, name := range staff {
		if i%5 == 1 {
			w.leave(name, true)
		}
	}
	w.leave("Ann Baker", true)
	w.tells("Ann Baker", true)
	w.leave("Ann Baker", false)
	w.tells("Ann Baker", false)
	w.leave("Ann Baker", true)
	w.tells("Ann Baker", true)
	b := browse(t, 1360, 860)
	b.login(w.base, pageToken)
	views := map[string]struct{ address, shown string }{
		"users":  {"#/", ".users tbody tr"},
		"user":   {"#/user/" + addressOf("Ann Baker"), "#timeline svg"},
		"live":   {"#/live", "#feed li"},
		"system": {"#/system", ".chart svg"},
	}
	sizes := map[string][2]int64{"desk": {1360, 860}, "phone": {390, 844}}
	for size, px := range sizes {
		for view, v := range views {
			for _, theme := range []string{"light", "dark"} {
				t.Run(fmt.Sprintf("the %s view at a %s in the %s", view, size, theme), func(t *testing.T) {
					b.do(chromedp.EmulateViewport(px[0], px[1]))
					b.theme(theme)
					b.do(chromedp.Navigate(w.base+"/ui/"+v.address), chromedp.WaitVisible(v.shown))
					b.until("the head line is there", `document.querySelectorAll("#health li").length === 5`)
					if got := ask[int64](b, "document.documentElement.scrollWidth"); got > px[0] {
						t.Errorf("width = %d, want at most %d", got, px[0])
					}
					if got := ask[string](b, nameless); got != "" {
						t.Errorf("controls without a name = %s, want none", got)
					}
					if got := ask[string](b, faint); got != "" {
						t.Errorf("text that is hard to read = %s, want none", got)
					}
					picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
					if err != nil {
						t.Fatal(err)
					}
					name := filepath.Join(t.ArtifactDir(), view+"-"+size+"-"+theme+".png")
					if err := os.WriteFile(name, picture, 0o600); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
	b.clean()
}

// nameless lists the controls that a screen reader can't name.
const nameless = `[...document.querySelectorAll("a, button, input, textarea, svg[tabindex]")].filter((e) =>
	!(e.innerText?.trim() || e.getAttribute("aria-label") || e.labels?.length)).map((e) => e.outerHTML).join(" ")`

// faint lists text whose contrast with its ground is below 4.5 to 1 (WCAG AA).
const faint = `(() => {
	const rgb = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
	const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
	const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
	const found = new Set();
	for (const e of document.querySelectorAll("main *, header *")) {
		if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.closest(".none, .moved, .fresh, :disabled, .visually-hidden, svg")) continue;
		if (!e.getClientRects().length) continue;
		const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
		const ratio = (a + .05) / (b + .05);
		if (ratio < 4.5) found.add(e.textContent.trim().slice(0, 30) + " " + ratio.toFixed(2));
	}
	return [...found].join("; ");
})()`

func TestThePageIsForOperatorsAlone(t *testing.T) {
	w := office(t, 64, staff[:1])
	for _, path := range []string{"/ui/", "/ui/api/summary", "/ui/api/users", "/ui/api/feed", "/ui/static/main.js", "/ui/api/openapi.json"} {
		if status, answer := w.get(path); status != http.StatusUnauthorized || strings.Contains(answer, "contoso") {
			t.Errorf("GET %s without a token = %d %.80q, want 401", path, status, answer)
		}
	}
}
