"use strict";
// Requests the part of the page that changes, and changes what is different, where it stands: the focus, a button that
// is being pressed and a screen reader's place stay. Nothing is ever made of text: the server has escaped all of it.
(() => {
    const PAUSE = 1000, PAUSE_UNSEEN = 10000;  // a tab that nobody looks at can still alarm
    const silence = document.getElementById("silence");
    const notice = document.getElementById("notice");
    const main = document.getElementById("main");

    document.body.classList.add("live");

    const sameKind = (old, fresh) =>
        old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && (old.id || "") === (fresh.id || "");

    function change(old, fresh) {
        if (old.nodeType === Node.TEXT_NODE) {
            if (old.data !== fresh.data) old.data = fresh.data;
            return;
        }
        for (const { name } of [...old.attributes]) {
            if (!fresh.hasAttribute(name)) old.removeAttribute(name);
        }
        for (const { name, value } of fresh.attributes) {
            if (old.getAttribute(name) !== value) old.setAttribute(name, value);
        }
        const staying = new Set([...fresh.children].map((one) => one.id));
        for (const one of [...old.children]) {
            if (one.id && !staying.has(one.id)) one.remove();  // first, or those that stay would have to move
        }
        const byId = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
        let place = old.firstChild;
        for (const wanted of [...fresh.childNodes]) {
            const known = wanted.id ? byId.get(wanted.id) : place;
            if (known && sameKind(known, wanted)) {
                if (known !== place) old.insertBefore(known, place);
                else place = place.nextSibling;
                change(known, wanted);
            } else {
                old.insertBefore(document.importNode(wanted, true), place);
            }
        }
        while (place) {
            const next = place.nextSibling;
            place.remove();
            place = next;
        }
    }

    async function update() {
        try {
            const answer = await fetch(new URL(main.dataset.api, location.href), {
                cache: "no-store", signal: AbortSignal.timeout(15000),
            });
            const parsed = new DOMParser().parseFromString((await answer.json()).html || "", "text/html");
            const fresh = parsed.getElementById("main");
            if (!fresh) throw new Error(String(answer.status));
            const focused = document.activeElement;
            if (focused.closest?.(".filters")) {  // what somebody is filling in stays as it is
                fresh.querySelector(".filters")?.replaceWith(main.querySelector(".filters").cloneNode(true));
            }
            change(main, fresh);
            if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
            document.title = main.dataset.title;
            const icon = document.getElementById("icon");
            if (icon.getAttribute("href") !== main.dataset.icon) icon.setAttribute("href", main.dataset.icon);
            silence.hidden = true;
            document.body.classList.remove("gone");
        } catch {
            document.getElementById("as-of").textContent = main.dataset.time;
            notice.textContent = "";
            silence.hidden = false;
            document.body.classList.add("gone");
        }
    }

    let wake = () => {};
    document.addEventListener("visibilitychange", () => wake());

    async function forever() {
        for (;;) {
            await new Promise((again) => {
                wake = again;
                setTimeout(again, document.hidden ? PAUSE_UNSEEN : PAUSE);
            });
            await update();
        }
    }

    // What came of a button is told once, also by a screen reader, and not again when the page is loaded anew
    if (notice.textContent) {
        const words = notice.textContent;
        notice.textContent = "";
        setTimeout(() => { notice.textContent = words; }, 100);
        const here = new URL(location.href);
        here.searchParams.delete("notice");
        history.replaceState(null, "", here);
    }

    document.addEventListener("submit", (event) => {
        const asked = event.target.dataset.confirm;
        if (asked && !window.confirm(asked)) event.preventDefault();
    });
    forever();
})();
