package ooo_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"outlook-monitor/internal/ooo"
)

func TestSpoken(t *testing.T) {
	tests := map[string]struct{ reply, want string }{
		"the seed's example": {
			"<html>\n<body>\n<div>Hello I am so glad my vacation is here, I may never return. </div>\n</body>\n</html>\n",
			"Hello I am so glad my vacation is here, I may never return.",
		},
		"plain text passes through":                 {"Back on Monday", "Back on Monday"},
		"nothing stays nothing":                     {"", ""},
		"only markup is nothing":                    {"<html><body><p>&nbsp;</p></body></html>", ""},
		"entities are decoded":                      {"<p>Tom &amp; Jerry &lt;3 caf&eacute; &#8364;5</p>", "Tom & Jerry <3 café €5"},
		"entities are decoded once":                 {"&amp;lt;b&amp;gt;", "&lt;b&gt;"},
		"paragraphs end sentences":                  {"<p>I am away</p><p>Call Ann</p>", "I am away. Call Ann"},
		"a paragraph with punctuation needs none":   {"<p>I am away!</p><p>Call Ann.</p>", "I am away! Call Ann."},
		"a sentence that goes on is not cut":        {"<div>I am away</div><div>until Monday</div>", "I am away until Monday"},
		"a line break is a space":                   {"Regards<br>Bob", "Regards Bob"},
		"two line breaks end a paragraph":           {"Back soon<br><br/>Bob", "Back soon. Bob"},
		"style and script are dropped":              {"<style>p{color:red}</style><script>alert('x')</script><p>Hi</p>", "Hi"},
		"comments are dropped":                      {"<!--[if gte mso 9]><xml><o:p>x</o:p></xml><![endif]--><p>Hi</p>", "Hi"},
		"a title is dropped":                        {"<head><title>Mail</title></head><body>Hi</body>", "Hi"},
		"inline tags leave no gap":                  {"<b>W</b>ord and <i>more</i>", "Word and more"},
		"white space is one space":                  {"a \t\r\n  b&nbsp;&nbsp;c", "a b c"},
		"invisible characters are dropped":          {"soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"},
		"list items are sentences":                  {"<ul><li>One</li><li>Two</li></ul>", "One. Two"},
		"table cells are separated":                 {"<table><tr><td>Ann</td><td>555 1234</td></tr></table>", "Ann 555 1234"},
		"an unclosed tag at the end does no harm":   {"<p>Hi <b", "Hi"},
		"a lone less-than is text":                  {"1 < 2", "1 < 2"},
		"other scripts keep their letters":          {"<p>不在です</p><p>Привет</p>", "不在です. Привет"},
		"an empty title swallows nothing":           {"<head><title/></head><body><p>Hi</p></body>", "Hi"},
		"an empty style swallows nothing":           {"<style/><p>Hi</p>", "Hi"},
		"frames that are missing leave no tags":     {"<noframes><p>Hi</p></noframes>", "Hi"},
		"a form leaves no tags":                     {"<textarea><b>Hi</b></textarea>", "Hi"},
		"what is hidden ends with what it is in":    {"<div><span style='display:none'>x</div>Hi", "Hi"},
		"a hidden paragraph ends at the next":       {"<p style='display:none'>x<p>Hi", "Hi"},
		"a stray end in a cell ends nothing around": {"<div hidden><table><tr><td></div>x</td></tr></table></div>Hi", "Hi"},
		"a space in a style":                        {"<p>Hi<span style=' Display : None '>x</span></p>", "Hi"},
		"joiners alone are nothing":                 {"<p>&zwj;&zwnj; &zwnj;</p>", ""},
		"a bullet that is no number is dropped":     {"<p><span style='mso-list:Ignore'>-</span>Hi</p>", "Hi"},
		"a class that is hidden":                    {"<style>.x, p.y { display:none }</style><p class='a X'>no</p><p class=y>no</p><div class=y>Hi</div>", "Hi"},
		"what only paper or a phone hides is shown": {"<style>@media print { .x { display:none } } @page {margin:1in}</style><p class=x>Hi</p>", "Hi"},
		"a rule in a comment hides nothing":         {"<style><!-- /* .x { display:none } */ .y { display:none } --></style><p class=x>Hi<b class=y>no</b></p>", "Hi"},
		"an office paragraph with an empty element": {"<p class=MsoNormal>Hi<o:p></o:p></p>", "Hi"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ooo.Spoken(tt.reply); got != tt.want {
				t.Errorf("Spoken(%q) = %q, want %q", tt.reply, got, tt.want)
			}
		})
	}
}

// The replies are as Outlook, Outlook on the web, Word and others write them; beside
// each is what is heard.
func TestSpokenOfRepliesFromTheField(t *testing.T) {
	replies, err := filepath.Glob("testdata/replies/*.html")
	if err != nil || len(replies) < 30 {
		t.Fatalf("%d replies, %v, want 30 at least", len(replies), err)
	}
	for _, file := range replies {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".html"), func(t *testing.T) {
			reply, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			heard, err := os.ReadFile(strings.TrimSuffix(file, ".html") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			if got, want := ooo.Spoken(string(reply)), strings.TrimSuffix(string(heard), "\n"); got != want {
				t.Errorf("heard\n%q, want\n%q", got, want)
			}
		})
	}
}

func TestSpokenIsBounded(t *testing.T) {
	got := ooo.Spoken("<p>" + strings.Repeat("ä ", 100_000))
	if len(got) > 64<<10 || len(got) < 60<<10 || !utf8.ValidString(got) {
		t.Errorf("Spoken of a huge text has %d bytes, valid %t, want just under 64 KiB of valid UTF-8", len(got), utf8.ValidString(got))
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
			t.Errorf("Spoken(%q) = %q, has idle spaces", reply, got)
		case strings.ContainsFunc(got, unicode.IsControl):
			t.Errorf("Spoken(%q) = %q, has control characters", reply, got)
		}
	})
}
