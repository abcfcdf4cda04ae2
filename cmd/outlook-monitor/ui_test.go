package main_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/must"
	"outlook-monitor/internal/redistest"
)

const pageToken = "a-token-for-the-page"

// startPage starts the program with n users, waits until it has settled, and opens a browser.
func startPage(t *testing.T, redis *redistest.Server, seed uint64, n int) (*workload, *browser) {
	t.Helper()
	load := newWorkload(newTestbed(t, redis.URL(), graphsim.Config{Seed: seed}), n)
	load.requireToken(pageToken)
	load.startCovered()
	return load, browse(t, 1360, 860)
}

// outOfOffice are automatic replies with a longer text.
var outOfOffice = graphsim.AutomaticRepliesUpdate{
	Status: new("alwaysEnabled"), ExternalReplyMessage: new("<p>I am away until Monday. Please call Bob Carter.</p>"), CalendarBlock: true,
}

func TestOperatorPage(t *testing.T) {
	redis := redistest.Start(t)
	tb, b := startPage(t, redis, 61, 4)
	tb.sim.AddUser(graphsim.User{UserPrincipalName: "zoe.adams@contoso.example", DisplayName: "Zoe Adams"})
	const bob = `tr[data-email="user0002@contoso.example"]`

	b.do(chromedp.Navigate(tb.base+"/ui"), chromedp.WaitVisible("#token"), chromedp.SendKeys("#token", "wrong"+kb.Enter))
	b.waitForText("[role=alert]", "not the token")
	b.login(tb.base, pageToken)
	b.waitForText("#range", "1–4 of 4")
	b.waitForText(".health", "1 replica")
	b.until("Graph, Redis, mediator and public URL are ok", `document.querySelectorAll("#health .good").length >= 4`)
	b.until("all users are covered", `[...document.querySelectorAll(".users .cover")].every((c) => c.innerText.startsWith("Covered"))`)

	// Changes appear in the feed, the list and the counts without a reload.
	b.waitForText("#feed-state", "live")
	tb.sim.SetReplies("user0002@contoso.example", outOfOffice)
	b.waitForText("#feed li.fresh", "User 0002")
	b.waitForText(bob, "Out of office")
	b.until("one user is counted as away", `document.querySelector('[data-filter="away"] .n').innerText === "1"`)

	b.do(chromedp.SendKeys("#search", "SER 0002"))
	b.waitForText("#range", "1–1 of 1")
	b.do(chromedp.SendKeys("#search", "zzz"))
	b.waitForText(".empty", "No user matches")
	b.do(chromedp.Clear("#search"), chromedp.SendKeys("#search", kb.Escape))
	b.waitForText("#range", "of 4")
	b.do(chromedp.Click(`[data-filter="away"]`))
	b.waitForText("#range", "1–1 of 1")

	// A user's page, and its buttons.
	b.do(chromedp.Click(bob+" a"), chromedp.WaitVisible("#timeline svg"))
	b.waitForText("h1", "User 0002")
	b.waitForText(".said", "Please call Bob Carter.")
	b.waitForText(".history", "delivered to the mediator")
	b.until("the timeline shows the absence", `document.querySelectorAll("#timeline .band").length === 1`)
	b.do(chromedp.Click("#check"))
	b.waitForText("#toasts", "read now")
	before := len(tb.mediator.Calls())
	b.do(chromedp.Click("#resend"))
	tb.eventually("the state is delivered again", func() bool { return len(tb.mediator.Calls()) > before })
	b.waitForText(".history", "resend requested")
	b.do(chromedp.Click("#cover"))
	b.waitForText("#toasts", "checked now")

	// Add and remove users.
	b.do(chromedp.Click(".back"), chromedp.WaitVisible("#add"), chromedp.Click("#add"), chromedp.WaitVisible("#emails"),
		chromedp.SendKeys("#emails", "nobody@contoso.example"), chromedp.Click("dialog .primary"))
	b.waitForText("dialog .wrong", "not in the directory")
	b.do(chromedp.SetValue("#emails", "zoe.adams@contoso.example"), chromedp.Click("dialog .primary"))
	b.waitForText("h1", "Zoe Adams")
	tb.eventually("Zoe is covered", func() bool { return len(tb.sim.Covered()) == 5 })
	b.do(chromedp.Click("#remove"), chromedp.WaitVisible("#sure"), chromedp.Click("#sure"))
	b.waitForText("#range", "of 4")
	tb.eventually("Zoe's subscription is deleted", func() bool { return len(tb.sim.Covered()) == 4 })
	b.until("the feed has the removal", `[...document.querySelectorAll("#feed li")].some((li) => /Zoe Adams[^]*monitoring stopped/.test(li.innerText))`)
	b.do(chromedp.Click("#add"), chromedp.WaitVisible("#emails"),
		chromedp.SetValue("#emails", "absent@contoso.example, away@contoso.example"), chromedp.Click("dialog .primary"))
	b.waitForText(`tr[data-email="absent@contoso.example"] .who`, "not in the directory")
	b.do(chromedp.Navigate(tb.base + "/ui/#/user/%zz"))
	b.waitForText(".empty", "Not monitored\n%zz")

	b.do(chromedp.Click(`[data-view="system"]`))
	b.waitForText("#replicas", "(this one)")
	b.until("four charts are shown", `document.querySelectorAll(".chart svg").length === 4`)
	redis.Pause()
	b.do(chromedp.Reload())
	b.waitForText("#health .bad", "Redis")
	b.waitForText(".checks .bad", "Redis")
	b.waitForText("#banner", "out of date. Redis is unreachable")
	redis.Resume()
	b.until("Redis is ok again", `!document.querySelector("#health .bad, .checks .bad")`)
	b.do(chromedp.Navigate(tb.base+"/ui/api.html"), chromedp.Click("details:has(pre) summary"))
	b.waitForText("details[open] pre", `"email"`)
	b.do(chromedp.Navigate(tb.base+"/ui/"), chromedp.WaitVisible("#leave button"), chromedp.Click("#leave button"), chromedp.WaitVisible("#token"))

	b.checkConsole("404 (Not Found)", "503 (Service Unavailable)") // of unknown users and during the outage
}

func TestPageByKeyboard(t *testing.T) {
	tb, b := startPage(t, redistest.Start(t), 62, 3)
	b.do(chromedp.Navigate(tb.base+"/ui/"), chromedp.WaitVisible("#token"))
	b.press(pageToken, kb.Enter) // the form has the focus
	b.do(chromedp.WaitVisible("#search"))
	b.waitForText("#range", "of 3")

	b.press(kb.Tab)
	b.until("the first Tab shows the skip link", `document.activeElement.id === "skip" && document.activeElement.getBoundingClientRect().top >= 0`)
	b.press(kb.Enter)
	b.until("the content has the focus", `document.activeElement.id === "main"`)
	b.slash()
	b.press("0003")
	b.waitForText("#range", "1–1 of 1")
	b.tabTo(".who")
	b.until("the focused element has an outline", `getComputedStyle(document.activeElement).outlineStyle === "solid"`)
	b.press(kb.Enter)
	b.waitForText("h1", "User 0003")
	b.tabTo("#check")
	b.press(kb.Enter)
	b.waitForText("#toasts", "read now")
	b.tabTo("#remove")
	b.press(kb.Enter)
	b.do(chromedp.WaitVisible("#sure"))
	b.press(kb.Escape)
	b.until("the dialog is closed and the button has the focus again", `!document.querySelector("dialog") && document.activeElement.id === "remove"`)
	b.do(chromedp.Navigate(tb.base+"/ui/#/system"), chromedp.WaitVisible(".chart svg"))
	b.tabTo(".chart svg")
	b.press(kb.ArrowLeft)
	b.waitForText(".chart .value", "·")
	b.checkConsole()
}

// TestPageLayout checks each view in both themes on a desktop and a phone: nothing is wider than
// the window, every control has a name, and text has enough contrast. go test -artifacts
// keeps the screenshots.
func TestPageLayout(t *testing.T) {
	load, b := startPage(t, redistest.Start(t), 63, 24)
	ann := load.users[0].UserPrincipalName
	load.change()
	for _, update := range []graphsim.AutomaticRepliesUpdate{{Status: new("disabled")}, outOfOffice} {
		load.waitDelivered()
		load.sim.SetReplies(ann, update)
	}
	load.waitDelivered()
	b.login(load.base, pageToken)
	views := map[string]struct{ path, selector string }{
		"users":  {"#/", ".users tbody tr"},
		"user":   {"#/user/" + ann, "#timeline svg"},
		"live":   {"#/live", "#feed li"},
		"system": {"#/system", ".chart svg"},
		"api":    {"api.html", ".verb"},
	}
	for size, px := range map[string][2]int64{"desktop": {1360, 860}, "phone": {390, 844}} {
		for view, v := range views {
			for _, theme := range []string{"light", "dark"} {
				t.Run(fmt.Sprintf("%s %s %s", view, size, theme), func(t *testing.T) {
					b.do(chromedp.EmulateViewport(px[0], px[1]))
					b.theme(theme)
					b.do(chromedp.Navigate(load.base+"/ui/"+v.path), chromedp.WaitVisible(v.selector))
					b.until("the health line is shown, if any", `document.querySelector("#health")?.textContent.includes("replica") ?? true`)
					if got := eval[int64](b, "document.documentElement.scrollWidth"); got > px[0] {
						t.Errorf("width = %d, want at most %d", got, px[0])
					}
					for what, list := range map[string]string{"controls without a name": unnamedControls, "text with low contrast": lowContrast} {
						if got := eval[string](b, list); got != "" {
							t.Errorf("%s = %s, want none", what, got)
						}
					}
					screenshot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
					must.NoError(t, err)
					filetest.Write(t, filepath.Join(t.ArtifactDir(), view+"-"+size+"-"+theme+".png"), string(screenshot))
				})
			}
		}
	}
	b.checkConsole()
}

// unnamedControls lists the controls without a name for screen readers.
const unnamedControls = `[...document.querySelectorAll("a, button, input, textarea, svg[tabindex]")].filter((e) =>
	!(e.innerText?.trim() || e.getAttribute("aria-label") || e.labels?.length)).map((e) => e.outerHTML).join(" ")`

// lowContrast lists text whose contrast with its background is below 4.5 to 1 (WCAG AA).
const lowContrast = `(() => {
	const rgb = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
	const luminance = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
	const background = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
	const found = new Set();
	for (const e of document.querySelectorAll("main *, header *")) {
		if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.closest(".none, .moved, .fresh, :disabled, .visually-hidden, svg")) continue;
		if (!e.getClientRects().length) continue;
		const [a, b] = [luminance(rgb(getComputedStyle(e).color)), luminance(background(e))].sort((x, y) => y - x);
		const ratio = (a + .05) / (b + .05);
		if (ratio < 4.5) found.add(e.textContent.trim().slice(0, 30) + " " + ratio.toFixed(2));
	}
	return [...found].join("; ");
})()`
