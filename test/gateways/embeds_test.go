package gateways

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
)

// embedded is what a page with embeds sees of them.
type embedded struct {
	Image  string `json:"image"`
	Frame  string `json:"frame"` // what the page within it says about an image of its own
	Video  string `json:"video"`
	Events string `json:"events"`

	Marker string `json:"marker"` // the selected subprotocols
	Alone  string `json:"alone"`
	Chat   string `json:"chat"`
}

// arrivals are requests, written out.
type arrivals struct {
	mu  sync.Mutex
	all []string
}

func (a *arrivals) note(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header))
}

func (a *arrivals) text() (int, string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all), strings.Join(a.all, "\n")
}

// TestBrowserEmbeds opens a page with an iframe, an image, a video, events and WebSockets in Chromium, whose keys are in URLs
// and subprotocols. They work on an allowed page. The content server sees no key, neither does a Referer have one, nor a log. On a
// foreign page nothing reaches the content server.
func TestBrowserEmbeds(t *testing.T) {
	program := installed(t, "chromium")
	pages := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(rw, "<!doctype html><title>a page</title><link rel=icon href=data:,>")
	}))
	for _, g := range slices.Concat([]gateway{own}, gateways) {
		t.Run(g.name, func(t *testing.T) {
			var content, sent arrivals
			address := ""
			front := "http://cdn.acme.example:" + portOf(serve(t, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				sent.note(&http.Request{Method: r.In.Method, Header: http.Header{"Referer": r.In.Header["Referer"]}})
				r.SetURL(&url.URL{Scheme: "http", Host: address})
				r.Out.Host = r.In.Host
			}}))
			w := newWorldOf(t, embeddedContent(&content), "http://www.acme.example:"+portOf(pages), front)
			w.keysInURLs = true
			address = g.start(t, w)
			waitFor(t, address)
			browser := openBrowser(t, program)

			got := browser.embed(t, "http://www.acme.example:"+portOf(pages), front, w.embed)
			want := embedded{Image: "load", Frame: "inner load", Video: "error", Events: "an event", Marker: "keyward",
				Alone: "keyward.key." + w.embed, Chat: "chat"}
			if got != want {
				t.Errorf("the page sees %+v", got)
			}
			n, text := content.text()
			if n < 8 || strings.Contains(text, w.embed) || !strings.Contains(text, "Range:[bytes=0-") {
				t.Errorf("the content server sees %d requests:\n%s", n, strings.ReplaceAll(text, w.embed, "{KEY}"))
			}
			if n, text := sent.text(); n < 8 || strings.Contains(text, w.embed) {
				t.Errorf("a Referer has the key:\n%s", strings.ReplaceAll(text, w.embed, "{KEY}"))
			}
			for _, log := range w.logs {
				if text := log.text(t); strings.Contains(text, w.embed) {
					t.Errorf("a log has the key:\n%s", strings.ReplaceAll(text, w.embed, "{KEY}"))
				}
			}

			before, _ := content.text()
			got = browser.embed(t, "http://www.evil.example:"+portOf(pages), front, w.embed)
			if refused := (embedded{Image: "error", Frame: "nothing", Video: "error", Events: "error", Marker: "error", Alone: "error",
				Chat: "error"}); got != refused {
				t.Errorf("a foreign page sees %+v", got)
			}
			if n, text := content.text(); n != before {
				t.Errorf("for a foreign page the content server sees\n%s", text)
			}
		})
	}
}

// embeddedContent serves one of each.
func embeddedContent(content *arrivals) http.Handler {
	pixel, _ := base64.StdEncoding.DecodeString("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /media/pixel.gif", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "image/gif")
		_, _ = rw.Write(pixel)
	})
	mux.HandleFunc("GET /media/clip.mp4", func(rw http.ResponseWriter, r *http.Request) { // it cannot be decoded
		http.ServeContent(rw, r, "clip.mp4", time.Time{}, bytes.NewReader(make([]byte, 1<<16)))
	})
	mux.HandleFunc("GET /media/stream", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(rw, "data: an event\n\n")
	})
	mux.HandleFunc("GET /media/chat", func(rw http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(rw, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, InsecureSkipVerify: true})
		if err != nil {
			return // it has responded
		}
		_, _, _ = conn.Read(r.Context()) // until the page closes it
	})
	// The page knows the key from its own URL, which its script can read.
	mux.HandleFunc("GET /media/frame", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(rw, `<!doctype html><title>a frame</title><script>
			const image = new Image();
			image.onload = () => parent.postMessage("inner load", "*");
			image.onerror = () => parent.postMessage("inner error", "*");
			image.src = "/media/pixel.gif?inner&" + location.search.slice(1);
		</script>`)
	})
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		content.note(r)
		mux.ServeHTTP(rw, r)
	})
}

// embed opens a page in a new tab, and returns what it sees.
func (b *chrome) embed(t *testing.T, page, front, key string) embedded {
	t.Helper()
	tab, closeTab := chromedp.NewContext(b.ctx)
	defer closeTab()
	if err := chromedp.Do(tab, chromedp.Navigate(page)); err != nil {
		t.Fatal(err)
	}
	got, err := chromedp.Run(tab, chromedp.Evaluate[embedded](fmt.Sprintf(`(async () => {
		const front = %[1]q, key = %[2]q;
		const url = path => front + path + "?token=" + encodeURIComponent(key);
		const loaded = (element, good) => new Promise(resolve => {
			element.addEventListener(good, () => resolve(good));
			element.addEventListener("error", () => resolve("error"));
		});
		const image = new Image(), frame = document.createElement("iframe"), video = document.createElement("video");
		const seen = {image: loaded(image, "load"), video: loaded(video, "loadedmetadata")};
		image.src = url("/media/pixel.gif");
		video.src = url("/media/clip.mp4");
		seen.frame = new Promise(resolve => {
			addEventListener("message", e => resolve(e.data));
			// A frame that is refused loads, too, and says nothing; one that is allowed says something when its image is there.
			frame.addEventListener("load", () => seen.image.then(how => how === "error" && resolve("nothing")));
		});
		frame.src = url("/media/frame");
		document.body.append(image, frame, video);
		const events = new EventSource(url("/media/stream"));
		seen.events = new Promise(resolve => {
			events.onmessage = e => { events.close(); resolve(e.data); };
			events.onerror = () => { events.close(); resolve("error"); };
		});
		const socket = protocols => new Promise(resolve => {
			const s = new WebSocket(front.replace("http", "ws") + "/media/chat", protocols);
			s.onopen = () => { resolve(s.protocol); s.close(); };
			s.onerror = () => resolve("error");
		});
		seen.marker = socket(["keyward", "keyward.key." + key]);
		seen.alone = socket(["keyward.key." + key]);
		seen.chat = socket(["chat", "keyward.key." + key]);
		const result = {};
		for (const name in seen) result[name] = await seen[name];
		return result;
	})()`, front, key), chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return got
}
