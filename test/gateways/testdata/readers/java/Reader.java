import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;

/** Tells as JSON how a servlet container reads a request, in the ways that applications do. See reader_test.go. */
public class Reader {
	private static final String[] NAMES = {"siteId", "tenant_id"};

	public static void main(String[] args) throws Exception {
		Logger.getLogger("").setLevel(Level.SEVERE);
		Tomcat tomcat = new Tomcat();
		tomcat.setBaseDir(Files.createTempDirectory("reader").toString());
		Connector connector = new Connector();
		connector.setPort(Integer.parseInt(args[0]));
		connector.setProperty("address", "127.0.0.1");
		connector.setProperty("maxHttpRequestHeaderSize", "1048576");
		connector.setProperty("maxKeepAliveRequests", "-1");
		connector.setProperty("keepAliveTimeout", "600000");
		// As lenient as it can be.
		connector.setProperty("relaxedPathChars", "\"<>[\\]^`{|}");
		connector.setProperty("relaxedQueryChars", "\"<>[\\]^`{|}");
		tomcat.setConnector(connector);
		Context context = tomcat.addContext("", null);
		serve(context, "website", "/*");
		serve(context, "secret", "/secret/*", "/report", "/report.php/*");
		serve(context, "tree", "/docs/tree/*");
		serve(context, "q", "/q/*");
		serve(context, "t", "/t/*");
		tomcat.start();
		tomcat.getServer().await();
	}

	private static void serve(Context context, String owner, String... mappings) {
		Tomcat.addServlet(context, owner, new HttpServlet() {
			@Override
			protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
				answer(owner, request, response);
			}
		});
		Arrays.stream(mappings).forEach(mapping -> context.addServletMappingDecoded(mapping, owner));
	}

	private static void answer(String owner, HttpServletRequest request, HttpServletResponse response) throws IOException {
		List<String> params = new ArrayList<>();
		for (String name : NAMES) {
			String[] values = request.getParameterValues(name);
			List<String> texts = new ArrayList<>();
			for (String value : values == null ? new String[0] : values) {
				texts.add(quoted(value));
			}
			params.add(quoted(name) + ": " + texts);
		}
		String info = request.getPathInfo() == null ? "" : request.getPathInfo();
		String method = request.getMethod();
		String override = request.getHeader("X-HTTP-Method-Override");
		byte[] text = ("{\"classes\": {\"servlet mapping\": " + quoted(owner) + "}"
			+ ", \"paths\": {\"servlet path and path info\": " + quoted(request.getServletPath() + info) + "}"
			+ ", \"params\": {\"getParameterValues\": {" + String.join(", ", params) + "}}"
			+ ", \"hosts\": {\"getServerName\": " + quoted(request.getServerName()) + "}"
			+ ", \"methods\": {\"getMethod\": " + quoted(method) + ", \"with overrides\": " + quoted(override == null ? method : override) + "}}")
			.getBytes(StandardCharsets.UTF_8);
		response.setContentType("application/json");
		response.setContentLength(text.length);
		response.getOutputStream().write(text);
	}

	private static String quoted(String text) {
		StringBuilder quoted = new StringBuilder("\"");
		for (char c : text.toCharArray()) {
			if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') {
				quoted.append(String.format("\\u%04x", (int) c));
			} else {
				quoted.append(c);
			}
		}
		return quoted.append('"').toString();
	}
}
