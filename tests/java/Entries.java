import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.StringJoiner;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.event.Level;

/**
 * Logs entries, and keeps a book of them: a line for each with level, thread, logger, message and stack trace, the last two in
 * base64. Arguments: the book, the number of entries, and how many a thread logs before a pause of a millisecond.
 */
public final class Entries {
    private static final String[] LOGGERS = {"org.example.Shop", "org.example.shop.Cart$Line", "audit"};
    private static final Level[] LEVELS = {Level.INFO, Level.WARN, Level.ERROR, Level.DEBUG};
    private static final int THREADS = 3;

    public static void main(String[] arguments) throws Exception {
        Path book = Path.of(arguments[0]);
        int count = Integer.parseInt(arguments[1]);
        int pause = Integer.parseInt(arguments[2]);
        Files.deleteIfExists(book);
        // What is logged by several threads while logging begins may be lost.
        LoggerFactory.getLogger(Entries.class);
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(book, StandardCharsets.US_ASCII), true)) {
            Thread[] threads = new Thread[THREADS];
            for (int index = 0; index < THREADS; index++) {
                int first = index;
                threads[index] = new Thread(() -> log(out, first, count, pause), "worker-" + index);
                threads[index].start();
            }
            for (Thread thread : threads) {
                thread.join();
            }
        }
    }

    private static void log(PrintWriter out, int first, int count, int pause) {
        for (int number = first; number < count; number += THREADS) {
            Logger logger = LoggerFactory.getLogger(LOGGERS[number % LOGGERS.length]);
            Level level = LEVELS[number % LEVELS.length];
            String message = message(number);
            Throwable thrown = thrown(number);
            // In the book first: what a kill cuts off is in it, and what is not in it was not logged.
            out.println(new StringJoiner("\t").add(level.name()).add(Thread.currentThread().getName())
                .add(logger.getName()).add(base64(message)).add(thrown == null ? "" : base64(trace(thrown))));
            logger.atLevel(level).setCause(thrown).log(message);
            if (pause > 0 && number / THREADS % pause == 0) {
                try {
                    Thread.sleep(1);
                } catch (InterruptedException interrupted) {
                    return;
                }
            }
        }
    }

    private static String message(int number) {
        String begin = "entry " + number + ": ";
        return switch (number % 7) {
            case 1 -> begin + "\"quoted\", back\\slash and a tab\tin {braces}";
            case 2 -> begin + "Grüße aus Zürich, 世界 🦀";
            case 3 -> begin + "select *\n  from cart\n\n where line = 7";
            case 4 -> begin + " - [main] ERROR org.example - looks like another";
            default -> begin + "order " + number * 31 + " taken";
        };
    }

    private static Throwable thrown(int number) {
        return switch (number % 11) {
            case 5 -> {
                Throwable cause = new IllegalArgumentException("line \"7\"\n\tis of two lines", new RuntimeException());
                Throwable thrown = new IllegalStateException("no cart", cause);
                thrown.addSuppressed(new java.io.IOException("close: ü"));
                yield thrown;
            }
            // As Jackson words it.
            case 6 -> new RuntimeException("Unexpected character\n at [Source: (String)\"{x\"; line: 1, column: 2]");
            // Larger than what a pipe of the kernel holds.
            case 7 -> number % 101 == 7 ? deep(2500) : null;
            // As the JVM throws it when it has thrown it often.
            case 9 -> bare(new NullPointerException());
            default -> null;
        };
    }

    private static Throwable deep(int calls) {
        return calls == 0 ? new StackOverflowError("deep") : deep(calls - 1);
    }

    private static Throwable bare(Throwable thrown) {
        thrown.setStackTrace(new StackTraceElement[0]);
        return thrown;
    }

    private static String trace(Throwable thrown) {
        StringWriter text = new StringWriter();
        thrown.printStackTrace(new PrintWriter(text));
        return text.toString();
    }

    private static String base64(String text) {
        return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }
}
