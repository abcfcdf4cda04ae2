package ooo_test

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"outlook-monitor/internal/filetest"
	"outlook-monitor/internal/ooo"
)

func TestSpoken(t *testing.T) {
	for name, tt := range map[string]struct{ reply, want string }{
		"example of the specification": {
			"<html>\n<body>\n<div>Hello I am so glad my vacation is here, I may never return. </div>\n</body>\n</html>\n",
			"Hello I am so glad my vacation is here, I may never return.",
		},
		"entities":                         {"<p>Tom &amp; Jerry &lt;3 caf&eacute; &#8364;5</p>", "Tom & Jerry <3 café €5"},
		"entities are decoded once":        {"&amp;lt;b&amp;gt;", "&lt;b&gt;"},
		"style and script":                 {"<style>p{color:red}</style><script>alert('x')</script><p>Hi</p>", "Hi"},
		"text between blocks":              {"<div>I am off</div>Ask <div hidden>x</div>Bob", "I am off. Ask Bob"},
		"hidden image":                     {"<p><img src=x style='display:none'>Hi</p>", "Hi"},
		"placeholders":                     {"Hi\ufffd\ufffc there", "Hi there"},
		"only a symbol":                    {"<p>🌴</p>", "🌴"},
		"only a number":                    {"<p>112.</p>", "112."},
		"mark at the beginning":            {"<p>\u0301 Hi</p>", "\u0301 Hi"},
		"deepest elements":                 {strings.Repeat("<b>", 512) + "<i hidden>deeper</i>", "deeper"},
		"inline tags":                      {"<b>W</b>ord and <i>more</i>", "Word and more"},
		"list items":                       {"<ul><li>One</li><li>Two</li></ul>", "One. Two"},
		"table cells":                      {"<table><tr><td>Ann</td><td>555 1234</td></tr></table>", "Ann 555 1234"},
		"unclosed tag at the end":          {"<p>Hi <b", "Hi"},
		"less-than sign":                   {"1 < 2", "1 < 2"},
		"self-closing title":               {"<title/><p>Hi</p>", "Hi"},
		"raw text element":                 {"<noframes><p>Hi</p></noframes>", "Hi"},
		"unclosed hidden element":          {"<div><span style='display:none'>x</div>Hi", "Hi"},
		"hidden paragraph without end tag": {"<p style='display:none'>x<p>Hi", "Hi"},
		"stray end tag in a table cell":    {"<div hidden><table><tr><td></div>x</td><th></div>x</th></tr></table></div>Hi", "Hi"},
		"spaces in a style":                {"<p>Hi<span style=' Display : None '>x</span></p>", "Hi"},
		"only joiners":                     {"<p>&zwj;&zwnj; &zwnj;</p>", ""},
		"hidden class":                     {"<style>.x, p.y { display:none }</style><p class='a X'>no</p><p class=y>no</p><div class=y id=x>Hi</div>", "Hi"},
		"media rule":                       {"<style>@media print { .x { display:none } } @page {margin:1in}</style><p class=x>Hi</p>", "Hi"},
		"style rule in a comment":          {"<style><!-- /* .x { display:none } */ .y { display:none } --></style><p class=x>Hi<b class=y>no</b></p>", "Hi"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ooo.Spoken(tt.reply); got != tt.want {
				t.Errorf("Spoken(%q) = %q, want %q", tt.reply, got, tt.want)
			}
		})
	}
}

// TestSpokenOfRealReplies reads replies as Outlook, Outlook on the web, Word and others write
// them, each with its spoken text in a file beside it.
func TestSpokenOfRealReplies(t *testing.T) {
	replies, err := filepath.Glob("testdata/replies/*.html")
	if err != nil || len(replies) < 30 {
		t.Fatalf("%d replies, %v, want at least 30", len(replies), err)
	}
	for _, file := range replies {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".html"), func(t *testing.T) {
			spoken := filetest.Read(t, strings.TrimSuffix(file, ".html")+".txt")
			if got, want := ooo.Spoken(filetest.Read(t, file)), strings.TrimSuffix(spoken, "\n"); got != want {
				t.Errorf("Spoken =\n%q, want\n%q", got, want)
			}
		})
	}
}

func TestSpokenIsBounded(t *testing.T) {
	got := ooo.Spoken("<p>" + strings.Repeat("ä ", 400_000))
	if len(got) > 1<<20 || len(got) < 1020<<10 || !utf8.ValidString(got) {
		t.Errorf("Spoken of a long text has %d bytes, valid %t, want just under 1 MiB of valid UTF-8", len(got), utf8.ValidString(got))
	}
}

func FuzzSpoken(f *testing.F) {
	for _, seed := range []string{"<p>Hi</p>", "<style>x", "&amp;lt;", "<!--", "a<br><br>B", "\xff<p>\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, reply string) {
		got := ooo.Spoken(reply)
		switch {
		case !utf8.ValidString(got):
			t.Errorf("Spoken(%q) is not valid UTF-8", reply)
		case strings.TrimSpace(got) != got || strings.Contains(got, "  "):
			t.Errorf("Spoken(%q) = %q, has extra spaces", reply, got)
		case strings.ContainsFunc(got, unicode.IsControl):
			t.Errorf("Spoken(%q) = %q, has control characters", reply, got)
		}
	})
}
