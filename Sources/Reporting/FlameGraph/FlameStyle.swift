// SPDX-License-Identifier: Apache-2.0

/// The looks of the page and of the picture, with the fonts and the light or dark of the reader's system.
enum FlameStyle {
    static let page: StaticString = #"""
        :root {
          color-scheme: light dark;
          --page: #ffffff; --panel: #f6f7f9; --line: #dfe2e8; --text: #1a1c20; --muted: #626874;
          --accent: #b32ee0; --field: #ffffff; --shadow: rgba(16, 18, 22, 0.18);
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --page: #16181d; --panel: #1e2127; --line: #343943; --text: #e6e8ec; --muted: #9aa1ad;
            --accent: #cf7df0; --field: #262a31; --shadow: rgba(0, 0, 0, 0.6);
          }
        }
        * { box-sizing: border-box; }
        html, body { height: 100%; margin: 0; }
        body {
          display: flex; flex-direction: column; background: var(--page); color: var(--text);
          font: 13px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
        }
        header {
          display: flex; flex-wrap: wrap; gap: 8px 24px; align-items: center; justify-content: space-between;
          padding: 12px 16px 10px;
        }
        h1, .heading p {
          display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden;
        }
        .heading { min-width: 0; flex: 1 1 260px; }
        h1 { margin: 0; font-size: 17px; font-weight: 600; line-height: 1.3; overflow-wrap: anywhere; }
        .heading p { margin: 1px 0 0; color: var(--muted); overflow-wrap: anywhere; }
        .tools { display: flex; flex-wrap: wrap; gap: 6px 8px; align-items: center; }
        .found { color: var(--accent); font-variant-numeric: tabular-nums; }
        .found:empty { display: none; }
        input, button {
          font: inherit; color: inherit; background: var(--field); border: 1px solid var(--line);
          border-radius: 6px; height: 30px; padding: 0 10px;
        }
        input { width: 220px; }
        input[aria-invalid="true"] { border-style: dashed; border-color: var(--accent); }
        button { cursor: pointer; }
        button:hover:not(:disabled) { background: var(--panel); border-color: var(--muted); }
        button:disabled { opacity: 0.45; cursor: default; }
        :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
        canvas:focus-visible { outline-offset: -2px; }
        [hidden] { display: none !important; }
        .crumbs {
          display: flex; align-items: center; gap: 2px; padding: 3px 12px; overflow-x: auto; flex: none;
          background: var(--panel); border-block: 1px solid var(--line); scrollbar-width: thin;
        }
        .crumbs > :first-child { position: sticky; left: 0; z-index: 1; background: var(--panel); }
        .crumbs > * { flex: none; color: var(--muted); font-size: 12px; }
        .crumbs button {
          border-color: transparent; background: none; height: 24px; padding: 0 5px; max-width: 260px;
          overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
        }
        .crumbs > * + *::before { content: "\203a\a0\a0\a0"; color: var(--muted); font-weight: 400; }
        .crumbs button[aria-current] { color: var(--text); font-weight: 600; }
        .view { flex: 1 1 auto; min-height: 0; overflow-x: hidden; overflow-y: auto; margin: 8px 12px 0; }
        .spacer { min-height: 100%; }
        canvas { position: sticky; top: 0; display: block; touch-action: pan-y; }
        footer {
          display: flex; flex-wrap: wrap; gap: 4px 20px; align-items: center; padding: 7px 16px 8px;
          border-top: 1px solid var(--line); margin-top: 4px; color: var(--muted); font-size: 12px;
        }
        footer p, footer ul { margin: 0; padding: 0; }
        .legend { display: flex; flex-wrap: wrap; gap: 2px 14px; list-style: none; }
        .legend li { display: flex; align-items: center; gap: 6px; }
        .swatch { width: 12px; height: 12px; border-radius: 3px; box-shadow: inset 0 0 0 1px rgba(0, 0, 0, 0.12); }
        .status { flex: 1 1 200px; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
        .tip {
          position: fixed; left: 0; top: 0; z-index: 9; pointer-events: none; max-width: min(560px, 92vw);
          padding: 8px 11px; border-radius: 8px; border: 1px solid var(--line); background: var(--page);
          box-shadow: 0 6px 20px var(--shadow);
        }
        .tip strong {
          display: block; font: 600 12px/1.45 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
          overflow-wrap: anywhere; margin-bottom: 4px;
        }
        .tip dl { display: grid; grid-template-columns: auto 1fr; gap: 1px 12px; margin: 0; font-size: 12px; }
        .tip dt { color: var(--muted); }
        .tip dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
        .unseen { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); }
        noscript { display: block; padding: 24px; }
        @media (max-width: 640px) {
          header { padding: 10px 12px 8px; }
          .tools { flex: 1 1 100%; }
          input { flex: 1 1 120px; width: auto; min-width: 0; }
          .found { order: 9; flex: 1 1 100%; }
          .view { margin: 6px 6px 0; }
          footer { padding: 6px 12px; }
          .status { flex-basis: 100%; order: 9; }
        }
        @media print { .tools, .crumbs, .status { display: none; } }
        """#

    static let picture: StaticString = #"""
        text {
          font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1a1c20;
          white-space: pre;
        }
        svg { background: #ffffff; }
        .page { fill: #ffffff; }
        .title { font: 600 17px system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
        .note { font: 12px system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; fill: #626874; }
        @media (prefers-color-scheme: dark) {
          svg { background: #16181d; }
          .page { fill: #16181d; }
          .title { fill: #e6e8ec; }
          .note { fill: #9aa1ad; }
        }
        """#
}
