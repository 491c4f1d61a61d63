// SPDX-License-Identifier: Apache-2.0

extension FlameGraph {
    /// Writes a page that needs nothing but a browser.
    package func writeHTML(to writer: ByteWriter) {
        let layout = FlameLayout(tree, order: options.order, minimumShare: options.minimumShare ?? 0)
        writer.append("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n")
        writer.append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
        // Whatever this file contains, the browser will fetch nothing for it.
        writer.append("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ")
        writer.append("style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n")
        writer.append("<meta name=\"color-scheme\" content=\"light dark\">\n<title>")
        writer.appendMarkup(escaped(options.title))
        writer.append("</title>\n<style id=\"apus-style\">")
        writer.append(FlameStyle.page)
        writer.append("</style></head><body>\n<noscript>This flame graph needs JavaScript; ")
        writer.append("the .svg output has a picture that does not.</noscript>\n")
        writer.append("<script type=\"application/json\" id=\"apus-data\">")
        FlameData(graph: self, layout: layout, writer: writer).write()
        writer.append("</script>\n<script>")
        FlameScript.write(to: writer)
        writer.append("</script></body></html>\n")
    }
}

/// The script of the page, in parts that share one scope.
enum FlameScript {
    static func write(to writer: ByteWriter) {
        writer.append("\"use strict\";\n(() => {\n")
        for part in [model, text, painter, page, controls] {
            writer.append(part)
            writer.append("\n")
        }
        writer.append("})();\n")
    }
}
