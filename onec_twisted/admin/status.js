"use strict";
// Asks for the part of the page that changes, and changes what is different, where it stands: the focus, a button that
// is being pressed and a screen reader's place stay. Nothing is ever made of text: the server has escaped all of it.
(() => {
    const PAUSE = 2000;
    const silence = document.getElementById("silence");

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
            const answer = await fetch("live", { cache: "no-store", signal: AbortSignal.timeout(10000) });
            if (!answer.ok) throw new Error(String(answer.status));
            const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
            const focused = document.activeElement;
            change(document.getElementById("main"), fresh.getElementById("main"));
            if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
            silence.hidden = true;
        } catch {
            silence.hidden = false;
        }
    }

    async function forever() {
        for (;;) {
            await new Promise((again) => setTimeout(again, PAUSE));
            if (!document.hidden) await update();
        }
    }

    // What came of a button is told once, also by a screen reader, and not again when the page is loaded anew
    const notice = document.getElementById("notice");
    if (notice.textContent) {
        const words = notice.textContent;
        notice.textContent = "";
        setTimeout(() => { notice.textContent = words; }, 100);
        history.replaceState(null, "", location.pathname);
    }

    document.addEventListener("submit", (event) => {
        const asked = event.target.dataset.confirm;
        if (asked && !window.confirm(asked)) event.preventDefault();
    });
    forever();
})();
